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
  /** Default: a free one. */
  port?: number;
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

export interface Kafka extends Running {
  readonly bootstrapServers: string;
  readonly host: string;
  readonly port: number;
  readonly dir: string;
  /** Ends the broker if it runs (orderly) and starts it on the same data and port. */
  restart(): Promise<void>;
  /** SIGKILL, and the data is gone. */
  remove(): Promise<void>;
}

/** One Apache Kafka 4.3.1 broker, its own KRaft controller, on loopback. The first call ever downloads it. */
export async function startKafka(options: KafkaOptions): Promise<Kafka> {
  const { dir, port: wantedPort, settings = {}, listeners = [], users = {}, lifetime = "parent" } = options;
  const { heap = 256, optimise = false, requestLog = false } = options;
  sweep();
  const { classPath, archive } = await prepareKafka();

  const folder = resolve(dir);
  const [free, controllerPort] = await twoPorts();
  const port = wantedPort ?? free;
  const configFile = prepare(folder, { ...properties(folder, port, controllerPort, listeners), ...settings });
  await once(folder, () => format(classPath, archive, configFile, users));

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
    host: "127.0.0.1",
    port,
    bootstrapServers: `127.0.0.1:${port}`,
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
  const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}\n`);
  writeFileSync(configFile, lines.join(""), { mode: 0o600 });
  return configFile;
}

function properties(
  folder: string,
  port: number,
  controllerPort: number,
  more: readonly KafkaListener[] = [],
): Record<string, string> {
  const listeners = [
    { name: "PLAINTEXT", protocol: "PLAINTEXT", port },
    { name: "CONTROLLER", protocol: "PLAINTEXT", port: controllerPort },
    ...more,
  ];
  const addresses = listeners.map((listener) => `${listener.name}://127.0.0.1:${listener.port}`).join(",");
  return {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.quorum.bootstrap.servers": `127.0.0.1:${controllerPort}`,
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

/** A cluster id is 16 bytes in url-safe base64; one that starts with "-" would be read as an option. */
async function format(
  classPath: string,
  archive: string,
  configFile: string,
  users: Readonly<Record<string, string>> = {},
): Promise<void> {
  const id = `A${randomBytes(16).toString("base64url").slice(1)}`;
  await run("java", [
    ...fastStart(archive, false),
    ...mainClass(classPath, "kafka.tools.StorageTool"),
    "format",
    "-t",
    id,
    "-c",
    configFile,
    "--standalone",
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
    const [port, controllerPort] = await twoPorts();
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

async function twoPorts(): Promise<[number, number]> {
  const [first, second] = await freePorts(2);
  if (first === undefined || second === undefined) throw new Error("No free loopback ports");
  return [first, second];
}
