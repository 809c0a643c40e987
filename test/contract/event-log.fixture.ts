import { execFileSync } from "node:child_process";
import { pbkdf2Sync, randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Admin, alterUserScramCredentialsV0, Connection, type MessageToProduce, Producer } from "@platformatic/kafka";
import { onTestFinished } from "vitest";
import { startKafka } from "../../hack/servers/kafka.ts";
import { freePorts } from "../../hack/servers/ports.ts";
import type {
  EventLogReader,
  FetchedPartition,
  GroupHandlers,
  KafkaClient,
  ReaderOptions,
} from "../../sink/kafka/port.ts";
import { WireWriter } from "../../sink/kafka/wire.ts";

export type Message = MessageToProduce<Buffer, Buffer, Buffer, Buffer>;

/** One cluster seen by a test: makes topics, writes what the port's own writer cannot, and clears up after the test. */
export class Cluster {
  readonly bootstrapServers: readonly string[];
  readonly #client: KafkaClient;

  constructor(bootstrapServers: readonly string[], client: KafkaClient) {
    this.bootstrapServers = bootstrapServers;
    this.#client = client;
  }

  get connection() {
    return { clientId: "contract", bootstrapServers: this.bootstrapServers };
  }

  async topic(partitions = 1, settings: Record<string, string> = {}, name = `t-${randomUUID()}`): Promise<string> {
    const configs = Object.entries(settings).map(([key, value]) => ({ name: key, value }));
    await this.admin((admin) => admin.createTopics({ topics: [name], partitions, replicas: 1, configs }));
    await until(async () => (await this.topicId(name)) !== undefined, `topic ${name}`);
    return name;
  }

  async topicId(topic: string): Promise<string | undefined> {
    const metadata = await this.admin((admin) => admin.metadata({ topics: [topic], forceUpdate: true })).catch(
      () => null,
    );
    return metadata?.topics.get(topic)?.id;
  }

  async admin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = new Admin({ clientId: "contract-admin", bootstrapBrokers: [...this.bootstrapServers], retries: 5 });
    try {
      return await work(admin);
    } finally {
      await admin.close();
    }
  }

  /** One record batch. */
  async produce(messages: Message[], compression: "none" | "gzip" | "snappy" | "lz4" | "zstd" = "none") {
    const producer = new Producer<Buffer, Buffer, Buffer, Buffer>({
      clientId: "contract-producer",
      bootstrapBrokers: [...this.bootstrapServers],
    });
    try {
      await producer.send({ messages, acks: -1, compression });
    } finally {
      await producer.close();
    }
  }

  async transaction(messages: Message[], end: "commit" | "abort") {
    const producer = new Producer<Buffer, Buffer, Buffer, Buffer>({
      clientId: "contract-transactions",
      bootstrapBrokers: [...this.bootstrapServers],
      transactionalId: randomUUID(),
      idempotent: true,
      retries: 10,
    });
    try {
      const transaction = await producer.beginTransaction();
      await transaction.send({ messages });
      await transaction[end]();
    } finally {
      await producer.close();
    }
  }

  reader(topic: string, over: Partial<ReaderOptions> = {}): EventLogReader {
    const reader = this.#client.createReader(this.connection, readerOptions(topic, over));
    onTestFinished(() => reader.close());
    return reader;
  }

  /** A reader that is the only member and reads everything from offset 0. */
  async readerFromStart(topic: string, over: Partial<ReaderOptions> = {}): Promise<EventLogReader> {
    const reader = this.reader(topic, over);
    await reader.open();
    await reader.join({
      ...idle,
      async assigned(partitions) {
        for (const partition of partitions) reader.seek(partition, 0n);
      },
    });
    return reader;
  }

  writer() {
    const writer = this.#client.createWriter(this.connection);
    onTestFinished(() => writer.close());
    return writer;
  }
}

export const readerOptions = (topic: string, over: Partial<ReaderOptions> = {}): ReaderOptions => ({
  topic,
  groupId: `g-${randomUUID()}`,
  sessionTimeoutMs: 4_000,
  rebalanceTimeoutMs: 6_000,
  heartbeatIntervalMs: 200,
  maxBytesPerPartition: 1_048_576,
  maxBytes: 52_428_800,
  ...over,
});

/** A broker with a second listener, SASL over TLS, and one user on it. */
export async function secureKafka() {
  const dir = mkdtempSync(join(tmpdir(), "event-log-"));
  const [port = 0, securePort = 0, controllerPort = 0] = await freePorts(3);
  const { ca, keystore } = certificate(dir);
  const username = "sink";
  const password = randomUUID();
  const module = (name: string) => `org.apache.kafka.common.security.${name} required`;
  const listeners = `PLAINTEXT://127.0.0.1:${port},SECURE://127.0.0.1:${securePort},CONTROLLER://127.0.0.1:${controllerPort}`;
  const broker = await startKafka({
    dir,
    port,
    settings: {
      listeners,
      "advertised.listeners": listeners,
      "controller.quorum.bootstrap.servers": `127.0.0.1:${controllerPort}`,
      "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT",
      "listener.name.secure.ssl.keystore.type": "PEM",
      "listener.name.secure.ssl.keystore.location": keystore,
      "listener.name.secure.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
      "listener.name.secure.plain.sasl.jaas.config": `${module("plain.PlainLoginModule")} user_${username}="${password}";`,
      "listener.name.secure.scram-sha-512.sasl.jaas.config": `${module("scram.ScramLoginModule")};`,
    },
  });
  await addScramUser(broker.bootstrapServers, username, password);
  return { broker, ca, username, password, address: `127.0.0.1:${securePort}` };
}

function certificate(dir: string) {
  const [key, cert, keystore] = ["key.pem", "cert.pem", "keystore.pem"].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ];
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const program = "openssl";
  execFileSync(
    program,
    ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", cert, ...subject],
    { stdio: "pipe" },
  );
  const ca = readFileSync(cert, "utf8");
  writeFileSync(keystore, readFileSync(key, "utf8") + ca);
  return { ca, keystore };
}

async function addScramUser(server: string, name: string, password: string): Promise<void> {
  const [host = "", port = ""] = server.split(":");
  const iterations = 4_096;
  const scramSha512 = 2;
  const salt = randomBytes(16);
  const saltedPassword = pbkdf2Sync(password, salt, iterations, 64, "sha512");
  const connection = new Connection("contract-users");
  await connection.connect(host, Number(port));
  await alterUserScramCredentialsV0.api.async(
    connection,
    [],
    [{ name, mechanism: scramSha512, iterations, salt, saltedPassword }],
  );
  await connection.close();
}

/** Says which versions it speaks, as Kafka 3.0 does, and answers nothing else. Resolves to its address. */
export async function oldBroker(): Promise<string> {
  const apiVersions = 18;
  const spoken = [
    [0, 9],
    [1, 12],
    [3, 11],
    [apiVersions, 3],
  ] as const;
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (request) => {
      if (request.readInt16BE(4) !== apiVersions) return socket.destroy();
      const isFlexible = request.readInt16BE(6) >= 3;
      const body = new WireWriter().int32(request.readInt32BE(8)).int16(0);
      const write = ([key, max]: readonly [number, number]) => {
        body.int16(key).int16(0).int16(max);
        if (isFlexible) body.noTags();
      };
      if (isFlexible) body.compactArray(spoken, write).int32(0).noTags();
      else body.array(spoken, write).int32(0);
      const answer = body.toBuffer();
      return socket.write(new WireWriter().int32(answer.length).bytes(answer).toBuffer());
    });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export const idle: GroupHandlers = {
  assigned: async () => undefined,
  revoked: async () => undefined,
  lost: () => undefined,
};

/** Fetches until `enough`, and returns all that came; fails after 20 s. */
export async function fetchUntil(
  reader: EventLogReader,
  enough: (fetched: readonly FetchedPartition[]) => boolean,
): Promise<FetchedPartition[]> {
  const fetched: FetchedPartition[] = [];
  await until(async () => {
    fetched.push(...(await reader.fetch(250)).map(kept));
    return enough(fetched);
  }, "what was to be fetched");
  return fetched;
}

/** Records are valid until the next fetch. */
function kept(fetched: FetchedPartition): FetchedPartition {
  const records = fetched.records.map(({ offset, timestamp, appendTime, key, value, headers }) => ({
    offset,
    timestamp,
    appendTime,
    key: key && Buffer.from(key),
    value: value && Buffer.from(value),
    headers: headers.map(([name, content]) => [Buffer.from(name), content && Buffer.from(content)] as const),
  }));
  return { ...fetched, records };
}

export const recordsOf = (fetched: readonly FetchedPartition[]) => fetched.flatMap(({ records }) => records);

export const fetchRecords = async (reader: EventLogReader, count: number) =>
  recordsOf(await fetchUntil(reader, (fetched) => recordsOf(fetched).length >= count));

/** Whatever comes within the time. */
export async function fetchFor(reader: EventLogReader, ms: number): Promise<FetchedPartition[]> {
  const fetched: FetchedPartition[] = [];
  for (const end = performance.now() + ms; performance.now() < end; )
    fetched.push(...(await reader.fetch(100)).map(kept));
  return fetched;
}

export async function until(holds: () => boolean | Promise<boolean>, what: string, ms = 20_000): Promise<void> {
  for (const end = performance.now() + ms; !(await holds()); await sleep(20)) {
    if (performance.now() > end) throw new Error(`Waited ${ms} ms in vain for ${what}`);
  }
}

export const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Nothing of this process runs meanwhile, as under SIGSTOP. */
export const freeze = (ms: number) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

export const text = (value: string) => Buffer.from(value);
export const message = (topic: string, value: string, over: Partial<Message> = {}): Message => ({
  topic,
  partition: 0,
  value: text(value),
  ...over,
});
