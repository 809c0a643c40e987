import { randomUUID } from "node:crypto";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { asSuperuser } from "../support/ledger.ts";
import { apply, conditionOf, isReady, startOperator, type TestOperator, until } from "../support/operator.ts";
import { produceEvents } from "../support/produce.ts";
import { sharedServers } from "../support/servers.ts";
import { eventually, sinkSays } from "../support/sink-says.ts";
import { type Shown, startTlsPostgres, type TlsPostgres } from "../support/tls-postgres.ts";

/**
 * Running pipelines, one for each sslMode, on one server that shows another certificate from time to time: each says
 * what its mode checks and no more, operator and sink alike; what was sent meanwhile is stored once it is mended.
 */
const modes = ["Disable", "Prefer", "Require", "VerifyCa", "VerifyFull"] as const;
type Mode = (typeof modes)[number];

const { kafka } = sharedServers();
const run = `p${randomUUID().slice(0, 6)}`;
const folder = mkdtempSync(join(tmpdir(), "audit-pipeline-modes-"));
const caFile = join(folder, "ca.pem");
let server: TlsPostgres;
let operator: TestOperator;
beforeAll(async () => {
  server = await startTlsPostgres();
  copyFileSync(server.caFile, caFile);
  const { port, admin } = server.pg;
  const backend = (sslMode: Mode) => ({
    ...{ host: "localhost", port, admin, sslMode },
    ...(sslMode.startsWith("Verify") ? { caFile } : {}),
  });
  operator = await startOperator({
    kafka,
    postgres: backend("VerifyFull"),
    morePostgres: Object.fromEntries(modes.map((mode) => [mode.toLowerCase(), backend(mode)])),
  });
  await Promise.all(
    modes.map((mode) =>
      apply(operator.store, "AuditPipeline", "audit", namespaceOf(mode), {
        topic: { template: { partitions: 1 } },
        interval: "5s",
        sinks: [{ name: "ledger", postgres: { backendRef: { name: mode.toLowerCase() } }, delivery: quick }],
      }),
    ),
  );
  await Promise.all(modes.map((mode) => until<AuditPipeline>(operator.store, refOf(mode), isReady, 120_000)));
}, 180_000);
afterAll(async () => {
  await operator.stop();
  await server.remove();
  rmSync(folder, { recursive: true, force: true });
});

const quick = { retry: { initial: "200ms", max: "1s" }, circuitBreaker: { openFor: "500ms" } };
const namespaceOf = (mode: Mode) => `${run}-${mode.toLowerCase()}`;
const refOf = (mode: Mode) => ({ kind: "AuditPipeline", namespace: namespaceOf(mode), name: "audit" });
const databaseOf = (mode: Mode) => `${namespaceOf(mode)}_audit`;

const sent = new Map<Mode, number>();
async function produce(mode: Mode): Promise<void> {
  await produceEvents(`${namespaceOf(mode)}.audit`, 5);
  sent.set(mode, (sent.get(mode) ?? 0) + 5);
}

const stored = (mode: Mode) =>
  asSuperuser(server.pg, databaseOf(mode), async (client) => {
    const { rows } = await client.query<{ rows: number; ids: number }>(
      "SELECT count(*)::int AS rows, count(DISTINCT id)::int AS ids FROM audit.events",
    );
    return rows[0];
  });
const storesAll = (mode: Mode) =>
  eventually(
    () => stored(mode),
    (found) => found?.rows === sent.get(mode) && found?.ids === sent.get(mode),
  );
const recovers = (mode: Mode) =>
  Promise.all([until<AuditPipeline>(operator.store, refOf(mode), isReady, 90_000), storesAll(mode)]);

interface Case {
  readonly shown: Shown;
  readonly refusedBy: readonly Mode[];
  readonly message: RegExp;
  readonly own: RegExp;
}

const cases: readonly Case[] = [
  {
    shown: "expired",
    refusedBy: ["VerifyCa", "VerifyFull"],
    message: /certificate has expired: it must be renewed there/,
    own: /^PostgresTlsFailed: .*CERT_HAS_EXPIRED/m,
  },
  {
    shown: "of another host",
    refusedBy: ["VerifyFull"],
    message: /certificate is for another host name.*host must be/,
    own: /^PostgresTlsFailed: .*ALTNAME_INVALID/m,
  },
  {
    shown: "no TLS",
    refusedBy: ["Require", "VerifyCa", "VerifyFull"],
    message: /does not speak TLS, and sslMode \w+ wants it/,
    own: /^PostgresTlsFailed: the server does not speak TLS/m,
  },
  {
    shown: "of another authority",
    refusedBy: ["VerifyCa", "VerifyFull"],
    message: /certificate is not trusted.*caFile/,
    own: /^PostgresTlsFailed: .*(UNABLE_TO|SELF_SIGNED)/m,
  },
];

describe.each(cases)("a server's certificate or answer that is: $shown", ({ shown, refusedBy, message, own }) => {
  test(`is refused by ${refusedBy.join(", ")} alone`, async () => {
    await server.show(shown);
    await operator.resync();
    await Promise.all(
      modes.map(async (mode) => {
        await produce(mode);
        if (!refusedBy.includes(mode)) return recovers(mode);
        await until<AuditPipeline>(operator.store, refOf(mode), (pipeline) => {
          const { status, reason, message: text = "" } = conditionOf(pipeline, "StoresReady") ?? {};
          return status === "False" && reason === "PostgresTlsFailed" && message.test(text);
        });
        return eventually(
          () => sinkSays(operator.store, namespaceOf(mode)),
          (text) => own.test(text),
        );
      }),
    );
    for (const mode of refusedBy) expect((await stored(mode))?.rows).toBe((sent.get(mode) ?? 0) - 5);

    // An authority is rotated as people do it: the new one beside the old one, while the server has its certificate.
    if (shown === "of another authority") trustBoth();
    else await server.show("good");
    await Promise.all([operator.resync(), ...modes.map(recovers)]);
    await Promise.all(
      modes.map((mode) =>
        eventually(
          () => sinkSays(operator.store, namespaceOf(mode)),
          (text) => text === "ready\n",
        ),
      ),
    );
  }, 180_000);
});

function trustBoth(): void {
  writeFileSync(caFile, [server.caFile, server.otherCaFile].map((file) => readFileSync(file, "utf8")).join(""));
}
