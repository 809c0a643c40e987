import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { classArchive, installKafka } from "./install-kafka.ts";
import { once } from "./once.ts";
import { freePorts } from "./ports.ts";
import { type Lifetime, stateFolder, sweep } from "./registry.ts";
import { run } from "./run.ts";
import { launch, type Running } from "./server.ts";

export interface KafkaOptions {
  /** Data, configuration and log (`server.log`) of this broker. A folder with data from before is used as it is. */
  dir: string;
  /** Where it listens, and what it tells its clients. Default: loopback. */
  host?: string;
  /** Default: a free one. */
  port?: number;
  /** One of several nodes, each its own broker and controller. Default: the only one. */
  node?: ClusterNode;
  /** Adds a listener of its own, told to its clients as this port of the host: something else listens there and passes on. */
  proxiedPort?: number;
  /** Lines of server.properties added to or replacing ours. */
  settings?: Record<string, string>;
  /** More listeners, beside the one without TLS and passwords that `port` is about. */
  listeners?: readonly KafkaListener[];
  /** Users that exist from the start, with their SCRAM-SHA-512 passwords. */
  users?: Readonly<Record<string, string>>;
  /** "parent" (default): ends with this process, however that ends. */
  lifetime?: Lifetime;
  /** Heap in MiB, default 256. */
  heap?: number;
  /** Full compilation costs 2 CPU seconds at the start and pays under load only. Default false. */
  optimise?: boolean;
  /** The log has every request with its API key. Default false. */
  requestLog?: boolean;
}

export interface KafkaListener {
  /** As the settings name it: `listener.name.<lower case of it>.…` */
  name: string;
  protocol: "SSL" | "SASL_SSL";
  port: number;
}

export interface ClusterNode {
  readonly id: number;
  readonly controllerPort: number;
  /** Controller ports of all nodes, in the order of their ids, which begin with 1. */
  readonly controllerPorts: readonly number[];
  readonly clusterId: string;
}

export interface Kafka extends Running {
  readonly bootstrapServers: string;
  /** Where what listens at `proxiedPort` passes on to. */
  readonly behindProxy: { readonly host: string; readonly port: number } | undefined;
  readonly host: string;
  readonly port: number;
  readonly dir: string;
  /** Ends the broker if it runs (orderly) and starts it on the same data and port. */
  restart(): Promise<void>;
  /** SIGKILL, and the data is gone. */
  remove(): Promise<void>;
}

const LOOPBACK = "127.0.0.1";

/** One Apache Kafka 4.3.1 broker, its own KRaft controller, on loopback unless told otherwise. The first call ever downloads it. */
export async function startKafka(options: KafkaOptions): Promise<Kafka> {
  const { dir, port: wantedPort, settings = {}, listeners = [], users = {}, lifetime = "parent" } = options;
  const { heap = 256, optimise = false, requestLog = false, host = LOOPBACK } = options;
  sweep();
  const { classPath, archive } = await prepareKafka();

  const folder = resolve(dir);
  const [free, freeController, behind] = await threePorts();
  const port = wantedPort ?? free;
  const controllerPort = options.node?.controllerPort ?? freeController;
  const configFile = prepare(folder, {
    ...properties(folder, port, controllerPort, listeners, host),
    ...(options.node && nodeProperties(options.node)),
    ...(options.proxiedPort && proxiedListener({ port, controllerPort, behind, advertised: options.proxiedPort })),
    ...settings,
  });
  await once(folder, () => format(classPath, archive, configFile, users, options.node?.clusterId));

  const start = () =>
    launch({
      ...broker({ classPath, folder, configFile, lifetime }),
      args: [
        `-Xms${heap}m`,
        `-Xmx${heap}m`,
        ...fastStart(archive, optimise),
        ...mainClass(classPath, "kafka.Kafka", requestLog),
        configFile,
      ],
    });
  let running = await start();

  return {
    host,
    port,
    bootstrapServers: `${host}:${port}`,
    behindProxy: options.proxiedPort === undefined ? undefined : { host: LOOPBACK, port: behind },
    dir: folder,
    get pid() {
      return running.pid;
    },
    stop: () => running.stop(),
    kill: () => running.kill(),
    async restart() {
      await running.stop();
      running = await start();
    },
    async remove() {
      await running.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Fetches the broker, and makes the class-data archive that halves its start, unless both are there. */
export async function prepareKafka(): Promise<{ classPath: string; archive: string }> {
  const classPath = await installKafka();
  return { classPath, archive: await classArchive((file) => recordArchive(classPath, file)) };
}

const log4j = (requests: boolean) =>
  join(import.meta.dirname, requests ? "log4j2-requests.properties" : "log4j2.properties");

const mainClass = (classPath: string, name: string, requests = false) => [
  `-Dlog4j2.configurationFile=file:${log4j(requests)}`,
  "-cp",
  classPath,
  name,
];

const fastStart = (archive: string, optimise: boolean) => [
  "-XX:+UseSerialGC",
  "-Xshare:auto",
  `-XX:SharedArchiveFile=${archive}`,
  ...(optimise ? [] : ["-XX:TieredStopAtLevel=1"]),
];

function broker(of: { classPath: string; folder: string; configFile: string; lifetime: Lifetime }) {
  return {
    kind: "kafka",
    command: "java",
    cwd: of.folder,
    logFile: join(of.folder, "server.log"),
    readyLine: "Kafka Server started",
    readyWithinMs: 90_000,
    stopSignal: "SIGTERM" as const,
    lifetime: of.lifetime,
    disposable: of.folder.startsWith(stateFolder) ? [of.folder] : [],
  };
}

function prepare(folder: string, settings: Record<string, string>): string {
  mkdirSync(folder, { recursive: true });
  const configFile = join(folder, "server.properties");
  const lines = Object.entries(settings)
    .filter(([, value]) => value !== "")
    .map(([key, value]) => `${key}=${value}\n`);
  writeFileSync(configFile, lines.join(""), { mode: 0o600 });
  return configFile;
}

function properties(
  folder: string,
  port: number,
  controllerPort: number,
  more: readonly KafkaListener[] = [],
  host = LOOPBACK,
): Record<string, string> {
  const listeners = [
    { name: "PLAINTEXT", protocol: "PLAINTEXT", port },
    { name: "CONTROLLER", protocol: "PLAINTEXT", port: controllerPort },
    ...more,
  ];
  const addresses = listeners.map((listener) => `${listener.name}://${host}:${listener.port}`).join(",");
  return {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.quorum.bootstrap.servers": `${host}:${controllerPort}`,
    listeners: addresses,
    "advertised.listeners": addresses,
    "listener.security.protocol.map": listeners.map(({ name, protocol }) => `${name}:${protocol}`).join(","),
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "log.dirs": join(folder, "data"),
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "5",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    // A killed broker cannot register again before its last session has ended (default 9 s).
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "1000",
    "group.initial.rebalance.delay.ms": "0",
    // Tests of an expired session would otherwise last six seconds at least.
    "group.min.session.timeout.ms": "1000",
    "log.cleaner.dedupe.buffer.size": "8388608",
  };
}

function nodeProperties({ id, controllerPorts }: ClusterNode): Record<string, string> {
  const replicas = String(Math.min(3, controllerPorts.length));
  return {
    "node.id": String(id),
    "controller.quorum.bootstrap.servers": "",
    "controller.quorum.voters": controllerPorts.map((port, index) => `${index + 1}@127.0.0.1:${port}`).join(","),
    "offsets.topic.replication.factor": replicas,
    "transaction.state.log.replication.factor": replicas,
    "share.coordinator.state.topic.replication.factor": replicas,
  };
}

function proxiedListener(of: { port: number; controllerPort: number; behind: number; advertised: number }) {
  const own = `PLAINTEXT://127.0.0.1:${of.port},CONTROLLER://127.0.0.1:${of.controllerPort}`;
  return {
    listeners: `${own},PROXIED://127.0.0.1:${of.behind}`,
    "advertised.listeners": `${own},PROXIED://127.0.0.1:${of.advertised}`,
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT",
  };
}

/** A cluster id is 16 bytes in url-safe base64; one that starts with "-" would be read as an option. */
export const newClusterId = () => `A${randomBytes(16).toString("base64url").slice(1)}`;

/** With the id of a cluster the configuration names its voters, else this is the only node. */
async function format(
  classPath: string,
  archive: string,
  configFile: string,
  users: Readonly<Record<string, string>> = {},
  clusterId?: string,
): Promise<void> {
  await run("java", [
    ...fastStart(archive, false),
    ...mainClass(classPath, "kafka.tools.StorageTool"),
    "format",
    "-t",
    clusterId ?? newClusterId(),
    "-c",
    configFile,
    ...(clusterId === undefined ? ["--standalone"] : []),
    "--ignore-formatted",
    ...Object.entries(users).flatMap(([name, password]) => [
      "--add-scram",
      `SCRAM-SHA-512=[name=${name},password=${password}]`,
    ]),
  ]);
}

async function recordArchive(classPath: string, file: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "audit-pipeline-kafka-"));
  try {
    const [port, controllerPort] = await threePorts();
    const configFile = prepare(folder, properties(folder, port, controllerPort));
    await format(classPath, "", configFile);
    const flags = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", `-XX:ArchiveClassesAtExit=${file}`];
    const args = [...flags, ...mainClass(classPath, "kafka.Kafka"), configFile];
    const running = await launch({ ...broker({ classPath, folder, configFile, lifetime: "parent" }), args });
    await running.stop();
    if (!existsSync(file)) throw new Error(`java wrote no class-data archive to ${file}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function threePorts(): Promise<[number, number, number]> {
  const [first, second, third] = await freePorts(3);
  if (first === undefined || second === undefined || third === undefined) throw new Error("No free loopback ports");
  return [first, second, third];
}
