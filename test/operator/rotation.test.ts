import { randomUUID } from "node:crypto";
import pg from "pg";
import { expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { connectKafka } from "../../operator/external/connect-kafka.ts";
import { apply, isReady, startOperator, until } from "../support/operator.ts";
import { produceEvents } from "../support/produce.ts";
import { sharedServers } from "../support/servers.ts";

const { kafka, postgres15 } = sharedServers();
/** `make soak-all` raises it. */
const ROTATIONS = Number(process.env["ROTATIONS"] ?? 2);

/** Events come in all the time; logins come and go under the sinks. */
test(
  "a stream with rotations in it: every event is stored once, none is a dead letter, the old logins are refused",
  async () => {
    let offsetMs = 0;
    const operator = await startOperator(
      { kafka, postgres: postgres15 },
      { now: () => new Date(Date.now() + offsetMs) },
    );
    const namespace = `n${randomUUID().slice(0, 8)}`;
    const [topic, database] = [`${namespace}.audit`, `${namespace}_audit`];
    const ref = { kind: "AuditPipeline", namespace, name: "audit" };
    const spec = {
      topic: { template: { partitions: 2 } },
      workload: { replicas: 2 },
      sinks: [{ name: "ledger", postgres: { rotation: { interval: "2160h", overlap: "1h" } } }],
    };
    const login = async () => {
      const secret = await operator.store.get<Secret>({ kind: "Secret", namespace, name: "audit-ledger-writer" });
      const field = (key: string) => Buffer.from(secret?.data?.[key] ?? "", "base64").toString();
      return { user: field("username"), password: field("password") };
    };
    const ready = () => until<AuditPipeline>(operator.store, ref, isReady, 120_000);
    let load: Promise<number> | undefined;
    let isOver = false;
    try {
      await apply(operator.store, "AuditPipeline", "audit", namespace, spec);
      await ready();
      load = (async () => {
        let produced = 0;
        for (; !isOver; produced += 20) await produceEvents(topic, 20);
        return produced;
      })();
      for (let rotation = 0; rotation < ROTATIONS; rotation++) {
        const before = await login();
        offsetMs += 2161 * 3_600_000;
        await operator.resync();
        await expect.poll(login, { timeout: 60_000 }).not.toEqual(before);
        await ready();
        expect(await answer(database, before)).toBe("lets in");
        offsetMs += 3_600_000;
        await operator.resync();
        await expect.poll(() => answer(database, before), { timeout: 60_000, interval: 500 }).toMatch(/^28(P01|000)$/);
        expect(await answer(database, await login())).toBe("lets in");
      }
      isOver = true;
      const produced = await load;
      await expect
        .poll(() => stored(database), { timeout: 90_000, interval: 500 })
        .toEqual({ rows: produced, ids: produced });
      expect(await deadLetters(`${topic}.dlq`)).toBe(0n);
      const pipeline = await ready();
      expect(pipeline?.status?.sinks?.[0]?.credentialsIssuedAt).toMatch(/^\d{4}-/);
    } finally {
      isOver = true;
      await load?.catch(() => undefined);
      await operator.stop();
    }
  },
  160_000 + ROTATIONS * 120_000,
);

interface Secret {
  apiVersion: string;
  kind: string;
  metadata: AuditPipeline["metadata"];
  data?: Record<string, string>;
}

async function connectAs(database: string, as: { user: string; password: string }): Promise<pg.Client> {
  const { host, port } = postgres15;
  const client = new pg.Client({ host, port, database, ...as });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

const answer = (database: string, as: { user: string; password: string }) =>
  connectAs(database, as).then(
    (client) => client.end().then(() => "lets in"),
    (error: { code?: string }) => error.code,
  );

async function stored(database: string): Promise<{ rows: number; ids: number }> {
  const client = await connectAs(database, postgres15.superuser);
  const { rows } = await client.query(
    "SELECT (SELECT count(*) FROM audit.events)::int AS rows, (SELECT count(*) FROM audit.event_ids)::int AS ids",
  );
  await client.end();
  return rows[0];
}

async function deadLetters(topic: string): Promise<bigint> {
  const connections = connectKafka();
  const { topics } = connections.to({ name: "default", bootstrapServers: [...kafka.bootstrapServers] });
  const ends = await topics.endOffsets(topic).finally(() => connections.close());
  return [...ends.values()].reduce((sum, end) => sum + end, 0n);
}
