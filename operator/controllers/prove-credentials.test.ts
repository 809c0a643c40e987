import { pino } from "pino";
import { afterAll, expect, test } from "vitest";
import { auditPipelineSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { API_VERSION } from "../../crds/v1alpha1/shared.ts";
import { asSuperuser, backendFor, ledgerFixture } from "../../test/support/ledger.ts";
import { sharedServers } from "../../test/support/servers.ts";
import { postgresBackend } from "../config.ts";
import { sinkNames } from "../desired/sink-names.ts";
import { connectPostgres } from "../external/connect-postgres.ts";
import { identifier, literal } from "../external/quote.ts";
import type { LedgerAction } from "../plan/postgres-ledger.ts";
import { proveCredentials } from "./sink-ledger.ts";

const pg = sharedServers().postgres18;
const connections = connectPostgres();
afterAll(() => connections.close());

async function newSink() {
  const ledger = ledgerFixture({ pg, connections, readerLogin: false });
  await ledger.converge();
  const spec = auditPipelineSpec.parse({ sinks: [{ name: "ledger", postgres: {} }] });
  const [sink] = spec.sinks;
  if (sink === undefined) throw new Error("one sink");
  const metadata = {
    ...ledger.identity,
    resourceVersion: "1",
    generation: 1,
    creationTimestamp: "2026-11-23T10:00:00Z",
  };
  const { name: _, ...backend } = backendFor(pg);
  const input = {
    pipeline: { apiVersion: API_VERSION, kind: "AuditPipeline" as const, metadata, spec },
    sink,
    names: sinkNames(metadata, sink.name),
    place: {
      adoption: "Never" as const,
      driftPolicy: "Correct" as const,
      backend: postgresBackend.parse({ ...backend, name: "default" }),
      identity: ledger.identity,
      ledger: ledger.names,
      ca: undefined,
    },
    oldestRecordMs: undefined,
  };
  const applied: string[] = [];
  const access = {
    ...ledger.access,
    apply: (action: LedgerAction) => {
      applied.push(action.kind);
      return ledger.access.apply(action);
    },
  };
  const { months } = ledger.desired;
  const ready = {
    place: input.place,
    desired: ledger.desired,
    access,
    months,
    progress: [],
    passwords: ledger.passwords,
    probed: undefined,
    changed: false,
    ownsDatabase: true,
    isAdopted: false,
    drift: [],
    observed: await ledger.access.observe(),
  };
  const secrets: unknown[] = [];
  const tools = {
    log: pino({ level: "silent" }),
    store: { apply: async (object: unknown) => secrets.push(object) },
  } as unknown as Parameters<typeof proveCredentials>[2];
  const alter = (what: string) =>
    asSuperuser(pg, "postgres", (client) => client.query(`ALTER ROLE ${identifier(ledger.names.writer)} ${what}`));
  const prove = () =>
    proveCredentials(input, ready, tools).then(
      () => undefined,
      (error: unknown) => error as Error & { requeueAfterMs?: number },
    );
  return { applied, secrets, alter, prove };
}

test("a password that was changed by hand is set again, each time", async () => {
  const { applied, secrets, alter, prove } = await newSink();
  for (const times of [1, 2]) {
    await alter("PASSWORD 'changed by hand'");
    expect(await prove()).toMatchObject({ name: "WaitingError", reason: "ProbeFailed", requeueAfterMs: 1_000 });
    expect(await prove()).toBeUndefined();
    expect(applied).toEqual(Array(times).fill("SetVerifier"));
    expect(secrets).toHaveLength(times);
  }
});

test("a login that is refused with the right password too is set once, and then looked at every 30 seconds", async () => {
  const { applied, alter, prove } = await newSink();
  await alter(`VALID UNTIL ${literal("2020-01-01")}`);
  await prove();
  for (let pass = 0; pass < 5; pass++) {
    expect(await prove()).toMatchObject({
      name: "WaitingError",
      reason: "ProbeFailed",
      requeueAfterMs: 30_000,
      message: expect.stringContaining("VALID UNTIL"),
    });
  }
  expect(applied).toEqual(["SetVerifier"]);
  await alter("VALID UNTIL 'infinity'");
  expect(await prove()).toBeUndefined();
});

test("a login that the server forbids is no reason to set its password", async () => {
  const { applied, alter, prove } = await newSink();
  await alter("NOLOGIN");
  expect(await prove()).toMatchObject({ reason: "PostgresUnauthorized", requeueAfterMs: 30_000 });
  expect(applied).toEqual([]);
});
