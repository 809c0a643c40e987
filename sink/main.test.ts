import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Cluster, fetchFor, fetchRecords } from "../test/contract/event-log.fixture.ts";
import { auditEvent } from "../test/support/cloud-events.ts";
import { createLedgerDatabase, type LedgerDatabase } from "../test/support/ledger-database.ts";
import { sharedServers } from "../test/support/servers.ts";
import { type TcpProxy, tcpProxy } from "../test/support/tcp-proxy.ts";
import { verify } from "../test/verify/verifier.ts";
import { uuidBytes } from "./chain.ts";
import { kafkaClient } from "./kafka/client.ts";

/** `audit-sink consume` as a process, on a real broker and a real server. */
describe("audit-sink consume", () => {
  const servers = sharedServers();
  let kafka: Cluster;
  let database: LedgerDatabase;
  let reader: pg.Client;
  const running: Sink[] = [];
  const proxies: TcpProxy[] = [];

  beforeAll(async () => {
    kafka = new Cluster(servers.kafka.bootstrapServers, await kafkaClient("platformatic"));
    const now = new Date();
    const month = (add: number) =>
      new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + add, 1)).toISOString().slice(0, 10);
    const name = `sink_main_${randomUUID().slice(0, 8)}`;
    database = await createLedgerDatabase(servers.postgres18, { name, months: [month(0), month(1)] });
    reader = await database.connect(database.reader);
  });
  afterAll(async () => {
    await reader.end();
    await database.drop();
  });
  afterEach(async () => {
    await Promise.all(running.splice(0).map((sink) => sink.end()));
    await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
  });

  function start(topic: string, over: Record<string, string> = {}): Sink {
    const { host, port } = servers.postgres18;
    const sink = new Sink({
      AUDIT_SINK__PIPELINE__NAMESPACE: "acme",
      AUDIT_SINK__PIPELINE__NAME: "payments",
      AUDIT_SINK__PIPELINE__SINK: "pg",
      AUDIT_SINK__KAFKA__BOOTSTRAP_SERVERS: servers.kafka.bootstrapServers.join(","),
      AUDIT_SINK__KAFKA__SESSION_TIMEOUT: "6000",
      AUDIT_SINK__KAFKA__HEARTBEAT_INTERVAL: "500",
      AUDIT_SINK__SOURCE__TOPIC: topic,
      AUDIT_SINK__SOURCE__GROUP_ID: `group-${topic}`,
      AUDIT_SINK__SOURCE__DEAD_LETTER_TOPIC: `${topic}.dlq`,
      AUDIT_SINK__STORE__POSTGRES__HOST: host,
      AUDIT_SINK__STORE__POSTGRES__PORT: String(port),
      AUDIT_SINK__STORE__POSTGRES__DATABASE: database.name,
      AUDIT_SINK__STORE__POSTGRES__USER: database.writer.user,
      AUDIT_SINK__STORE__POSTGRES__PASSWORD: database.writer.password,
      AUDIT_SINK__STORE__POSTGRES__SSL_MODE: "Disable",
      AUDIT_SINK__DELIVERY__FLUSH_INTERVAL: "50",
      AUDIT_SINK__DELIVERY__RETRY__INITIAL: "100",
      AUDIT_SINK__DELIVERY__RETRY__MAX: "1000",
      AUDIT_SINK__DELIVERY__CIRCUIT_BREAKER__OPEN_FOR: "1000",
      AUDIT_SINK__ADMIN__HOST: "127.0.0.1",
      AUDIT_SINK__ADMIN__PORT: "0",
      ...over,
    });
    running.push(sink);
    return sink;
  }

  async function topics(partitions = 1): Promise<string> {
    const topic = await kafka.topic(partitions, { "message.timestamp.type": "LogAppendTime" });
    await kafka.topic(1, {}, `${topic}.dlq`);
    return topic;
  }

  const structured = (topic: string, value: unknown, partition = 0) => ({
    topic,
    partition,
    key: null,
    value: Buffer.from(typeof value === "string" ? value : JSON.stringify(value)),
    headers: [[Buffer.from("content-type"), Buffer.from("application/cloudevents+json")] as const],
  });
  const produce = (topic: string, values: readonly unknown[], partition = 0) =>
    kafka.writer().send(values.map((value) => structured(topic, value, partition)));
  const idOf = async (topic: string) => uuidBytes((await kafka.topicId(topic)) ?? "");

  async function settled(topic: string, offsets: number): Promise<void> {
    const topicId = await idOf(topic);
    for (const until = Date.now() + 45_000; ; await sleep(50)) {
      const { rows } = await reader.query(
        "SELECT sum(next_offset)::int AS next FROM audit.progress WHERE topic_id = $1",
        [topicId],
      );
      if (rows[0].next >= offsets) return;
      if (Date.now() > until) throw new Error(`Settled ${rows[0].next} of ${offsets}`);
    }
  }
  const stored = async (topic: string) => {
    const topicId = await idOf(topic);
    return (
      await reader.query(`SELECT id, raw FROM audit.events WHERE topic_id = $1 ORDER BY partition, "offset"`, [topicId])
    ).rows;
  };

  test.for(["platformatic", "kafkajs"])(
    "moves events into the ledger by %s, and what is none to the dead-letter topic with the reason",
    async (client) => {
      const topic = await topics();
      const ids = Array.from({ length: 20 }, () => randomUUID());
      await produce(topic, [...ids.map((id) => auditEvent(id)), "no JSON", auditEvent(ids[0] as string)]);
      const sink = start(topic, { AUDIT_SINK__KAFKA__CLIENT: client });
      await settled(topic, 22);

      const rows = await stored(topic);
      expect(rows.map(({ id }) => id)).toEqual(ids);
      expect(rows[0].raw.toString()).toBe(JSON.stringify(auditEvent(ids[0] as string)));
      const [letter] = await fetchRecords(await kafka.readerFromStart(`${topic}.dlq`), 1);
      const headers = Object.fromEntries((letter?.headers ?? []).map(([key, value]) => [String(key), String(value)]));
      expect(letter?.value?.toString()).toBe("no JSON");
      expect(headers).toMatchObject({
        "audit-error-class": "Malformed",
        "audit-error-reason": "InvalidJson",
        "audit-source-topic": topic,
        "audit-source-offset": "20",
        "audit-sink": "pg",
        "content-type": "application/cloudevents+json",
      });

      const log = ["--bootstrap", servers.kafka.bootstrapServers.join(","), "--topic", topic, "--dlq", `${topic}.dlq`];
      const verdict = await verify(database.url(database.reader), ...log, "--sink", "pg", "--complete");
      expect(verdict.problems).toEqual([]);
      expect(verdict.good).toBe(true);

      const metrics = await sink.get("/metrics");
      const labels = `namespace="acme",pipeline="payments",component="sink-pg"`;
      expect(metrics.text).toContain(`audit_events_total{${labels}} 22`);
      expect(metrics.text).toMatch(/audit_rejected_total\{reason="InvalidJson",.*\} 1/);
      expect((await sink.get("/readyz")).status).toBe(200);
      expect((await sink.log("Audit system initialized")).level).toBe("info");
    },
  );

  test("SIGTERM settles what is in hand and ends with 0; a successor goes on where it stopped", async () => {
    const topic = await topics(2);
    const first = start(topic, { AUDIT_SINK__DELIVERY__FLUSH_INTERVAL: "60000" });
    await first.log("Claimed partition");
    await produce(topic, [auditEvent(randomUUID()), auditEvent(randomUUID())], 0);
    await produce(topic, [auditEvent(randomUUID())], 1);
    await first.metric(/audit_queue_size\{.*\} 3/);
    expect(await stored(topic)).toEqual([]);
    expect(await first.end()).toBe(0);
    expect((await stored(topic)).length).toBe(3);

    start(topic);
    await produce(topic, [auditEvent(randomUUID())], 1);
    await settled(topic, 4);
    expect((await stored(topic)).length).toBe(4);
  });

  test("SIGTERM while it starts ends it with 0, too", async () => {
    // Tells the process to stop in the moment in which it opens its admin port, the first thing it does.
    const preload = `import { Server } from "node:net";
      const { listen } = Server.prototype;
      Server.prototype.listen = function (...of) {
        process.kill(process.pid, "SIGTERM");
        return listen.apply(this, of);
      };`;
    const sink = start("nowhere", {
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(preload)}`,
      AUDIT_SINK__KAFKA__BOOTSTRAP_SERVERS: "127.0.0.1:1",
    });
    expect(await sink.ended).toBe(0);
  });

  test("killed again and again in the middle, it loses nothing and stores nothing twice", async () => {
    const topic = await topics(2);
    const ids = Array.from({ length: 3_000 }, () => randomUUID());
    const over = { AUDIT_SINK__DELIVERY__BATCH_SIZE: "100", AUDIT_SINK__KAFKA__SESSION_TIMEOUT: "6000" };
    await produce(
      topic,
      ids.slice(0, 1_500).map((id) => auditEvent(id)),
      0,
    );
    await produce(
      topic,
      ids.slice(1_500).map((id) => auditEvent(id)),
      1,
    );
    for (let round = 1; round <= 4; round += 1) {
      const sink = start(topic, over);
      await sink.log("Claimed partition");
      await sleep(40 * round);
      await sink.end("SIGKILL");
    }
    start(topic, over);
    await settled(topic, 3_000);
    expect((await stored(topic)).map(({ id }) => id)).toEqual(ids);
  });

  test("a sink that was frozen past its session writes nothing more for what its successor took over", async () => {
    const topic = await topics(2);
    const send = (ids: readonly string[]) =>
      Promise.all(
        [0, 1].map((partition) =>
          produce(
            topic,
            ids.filter((_, i) => i % 2 === partition).map((id) => auditEvent(id)),
            partition,
          ),
        ),
      );
    const ids = Array.from({ length: 600 }, () => randomUUID());
    const frozen = start(topic, { AUDIT_SINK__DELIVERY__FLUSH_INTERVAL: "2000" });
    await frozen.log("Claimed partition");
    await send(ids.slice(0, 200));
    await frozen.metric(/audit_queue_size\{.*\} [1-9]/);
    frozen.signal("SIGSTOP");
    const successor = start(topic);
    await settled(topic, 200);
    await send(ids.slice(200, 400));
    await settled(topic, 400);
    frozen.signal("SIGCONT");
    await send(ids.slice(400));
    await settled(topic, 600);
    expect(new Set((await stored(topic)).map(({ id }) => id))).toEqual(new Set(ids));
    expect((await stored(topic)).length).toBe(600);
    expect(await frozen.end()).toBe(0);
    expect(await successor.end()).toBe(0);
  });

  test("a store that is down holds everything: no dead letters, no loss, the breaker opens, liveness stays", async () => {
    const topic = await topics();
    const proxy = await tcpProxy(servers.postgres18);
    proxies.push(proxy);
    const sink = start(topic, {
      AUDIT_SINK__STORE__POSTGRES__PORT: String(proxy.port),
      AUDIT_SINK__DELIVERY__CIRCUIT_BREAKER__FAILURES: "2",
    });
    await produce(topic, [auditEvent(randomUUID())]);
    await settled(topic, 1);
    proxy.pause();
    await produce(topic, [auditEvent(randomUUID()), auditEvent(randomUUID())]);
    await sink.log("Circuit breaker open");
    expect((await sink.get("/healthz")).status).toBe(200);
    await sink.metric(/circuit_breaker_state\{.*\} 2/);
    proxy.resume();
    await settled(topic, 3);
    expect((await stored(topic)).length).toBe(3);
    expect(await fetchFor(await kafka.readerFromStart(`${topic}.dlq`), 1_000)).toEqual([]);
  });

  test("a partition whose month is missing waits and says so, the others go on", async () => {
    const topic = await topics(2);
    const topicId = await idOf(topic);
    const admin = await database.connect(servers.postgres18.superuser);
    const partition = (
      await admin.query(
        "SELECT min(inhrelid::regclass::text) AS name FROM pg_inherits WHERE inhparent = 'audit.events'::regclass",
      )
    ).rows[0].name;
    const bound = (
      await admin.query("SELECT pg_get_expr(relpartbound, oid) AS bound FROM pg_class WHERE oid = $1::regclass", [
        partition,
      ])
    ).rows[0].bound;
    await produce(topic, [auditEvent(randomUUID())], 0);
    await admin.query(`ALTER TABLE audit.events DETACH PARTITION ${partition}`);
    const sink = start(topic);
    await sink.metric(/audit_partition_held\{partition="0",reason="MissingMonth",.*\} 1/);
    const wanted = await admin.query(
      "SELECT wanted_month::text FROM audit.progress WHERE topic_id = $1 AND partition = 0",
      [topicId],
    );
    expect(wanted.rows[0].wanted_month).toBe(`${new Date().toISOString().slice(0, 7)}-01`);
    await produce(topic, ["poison"], 1);
    await settled(topic, 1);

    await admin.query(`ALTER TABLE audit.events ATTACH PARTITION ${partition} ${bound}`);
    await admin.end();
    await settled(topic, 2);
    expect((await stored(topic)).length).toBe(1);
  });

  test("another topic of the same name is not read", async () => {
    const topic = await topics();
    await produce(topic, [auditEvent(randomUUID())]);
    const sink = start(topic, { AUDIT_SINK__SOURCE__TOPIC_ID: randomUUID() });
    await sink.log("Cannot open the topic yet");
    expect((await sink.get("/readyz")).status).toBe(503);
    expect(await sink.end()).toBe(0);
    expect(await stored(topic)).toEqual([]);
  });

  test("it lives without broker and store, is not ready, and ends at once when told to", async () => {
    const nowhere = "127.0.0.1:1";
    const sink = start("t", { AUDIT_SINK__KAFKA__BOOTSTRAP_SERVERS: nowhere, AUDIT_SINK__STORE__POSTGRES__PORT: "1" });
    await sink.log("Cannot open the topic yet");
    expect((await sink.get("/healthz")).status).toBe(200);
    expect((await sink.get("/readyz")).status).toBe(503);
    expect(await sink.end()).toBe(0);
  });

  test("a verifier in another language finds nothing wrong in all that was written", async () => {
    const verdict = await verify(database.url(database.reader));
    expect(verdict.problems).toEqual([]);
    expect(verdict.partitions.length).toBeGreaterThan(5);
    expect(verdict.good).toBe(true);
  });

  test("a bad configuration ends with 2 and names every problem, without a value", async () => {
    const sink = start("t", {
      AUDIT_SINK__DELIVERY__BATCH_SIZE: "many",
      AUDIT_SINK__NO__SUCH: "x",
      AUDIT_ENABLED: "false",
      AUDIT_SINK__STORE__POSTGRES__PASSWORD: "",
    });
    expect(await sink.ended).toBe(2);
    for (const name of ["delivery.batchSize", "AUDIT_SINK__NO__SUCH", "AUDIT_ENABLED", "store.postgres.password"]) {
      expect(sink.errors).toContain(name);
    }
    expect(sink.errors).not.toContain("many");
  });
});

interface LogLine {
  readonly level: string;
  readonly msg: string;
}

class Sink {
  readonly ended: Promise<number | null>;
  readonly lines: LogLine[] = [];
  errors = "";
  readonly #child: ChildProcess;
  #rest = "";

  constructor(environment: Record<string, string>) {
    const main = new URL("./main.ts", import.meta.url).pathname;
    const { PATH, HOME } = process.env;
    this.#child = spawn(process.execPath, [main, "consume"], {
      env: { PATH, HOME, POD_NAME: "pod-1", ...environment },
    });
    this.ended = once(this.#child, "exit").then(([code]) => code as number | null);
    this.#child.stdout?.on("data", (data: Buffer) => this.#read(String(data)));
    this.#child.stderr?.on("data", (data: Buffer) => {
      this.errors += String(data);
    });
  }

  async end(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<number | null> {
    this.#child.kill("SIGCONT");
    this.#child.kill(signal);
    return this.ended;
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#child.kill(signal);
  }

  async log(message: string): Promise<LogLine> {
    return this.#until(message, async () => this.lines.find(({ msg }) => msg === message));
  }

  async get(path: string): Promise<{ status: number; text: string }> {
    const line = (await this.log("Admin server listens")) as LogLine & { port: number };
    const response = await fetch(`http://127.0.0.1:${line.port}${path}`);
    return { status: response.status, text: await response.text() };
  }

  async metric(pattern: RegExp): Promise<void> {
    await this.#until(String(pattern), async () => pattern.test((await this.get("/metrics")).text) || undefined);
  }

  async #until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
    for (const until = Date.now() + 45_000; ; await sleep(50)) {
      const found = await look();
      if (found !== undefined) return found;
      if (Date.now() > until)
        throw new Error(`Never seen: ${what}\n${this.errors}\n${JSON.stringify(this.lines.slice(-20))}`);
    }
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.lines.push(JSON.parse(line) as LogLine);
  }
}
