import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { backendFor } from "../../test/support/ledger.ts";
import { startTlsPostgres, type TlsPostgres } from "../../test/support/tls-postgres.ts";
import { connectPostgres, type PostgresServer } from "./connect-postgres.ts";

/** A server with a certificate for localhost, signed by an authority of this test's own. */
const connections = connectPostgres();
let server: TlsPostgres;
beforeAll(async () => {
  server = await startTlsPostgres();
});
afterAll(async () => {
  await connections.close();
  await server.remove();
});

/** Files are named by what they hold, since the server starts after the cases are listed. */
type Over = Partial<Omit<PostgresServer, "caFile">> & { ca?: "its own" | "another" | "missing" };
const fileOf = (ca: Over["ca"]) =>
  ca && { "its own": server.caFile, another: server.otherCaFile, missing: "/nonexistent" }[ca];

const askWhetherEncrypted = (backend: PostgresServer) =>
  connections.admin(
    backend,
    "postgres",
    async (client) =>
      (await client.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")).rows[0].ssl as boolean,
  );
const isEncrypted = ({ ca, ...over }: Over) =>
  askWhetherEncrypted({ ...backendFor(server.pg), name: JSON.stringify([ca, over]), ...over, caFile: fileOf(ca) });

test.for<{ over: Over; want: boolean }>([
  { over: { sslMode: "Disable", host: "localhost" }, want: false },
  { over: { sslMode: "Prefer", host: "localhost" }, want: true },
  { over: { sslMode: "Require", host: "127.0.0.1" }, want: true },
  { over: { sslMode: "VerifyCa", host: "127.0.0.1", ca: "its own" }, want: true },
  { over: { sslMode: "VerifyFull", host: "localhost", ca: "its own" }, want: true },
])("$over.sslMode to $over.host is encrypted: $want", async ({ over, want }) => {
  expect(await isEncrypted(over)).toBe(want);
});

test.for<{ name: string; over: Over }>([
  {
    name: "VerifyFull refuses a name that is not in the certificate",
    over: { sslMode: "VerifyFull", host: "127.0.0.1", ca: "its own" },
  },
  {
    name: "VerifyFull refuses another authority",
    over: { sslMode: "VerifyFull", host: "localhost", ca: "another" },
  },
  {
    name: "VerifyFull refuses a private authority it was not given",
    over: { sslMode: "VerifyFull", host: "localhost" },
  },
  { name: "VerifyCa refuses another authority", over: { sslMode: "VerifyCa", host: "localhost", ca: "another" } },
  {
    name: "VerifyCa refuses a file that is not there",
    over: { sslMode: "VerifyCa", host: "localhost", ca: "missing" },
  },
])("$name", async ({ over }) => {
  await expect(isEncrypted(over)).rejects.toMatchObject({ name: "WaitingError", reason: "PostgresTlsFailed" });
});

test("says of a certificate that it does not trust what it trusts, and where", async () => {
  const asking = isEncrypted({ sslMode: "VerifyFull", host: "localhost", ca: "another", name: "names" });
  await expect(asking).rejects.toThrow(/certificate.*not trusted.*sslMode VerifyFull.*caFile/s);
});

test("an authority that is replaced is taken up, without a restart", async () => {
  const dir = mkdtempSync(join(tmpdir(), "audit-pipeline-ca-"));
  const caFile = join(dir, "ca.pem");
  const backend = {
    ...backendFor(server.pg),
    name: "replaced",
    sslMode: "VerifyFull",
    host: "localhost",
    caFile,
  } as const;
  copyFileSync(server.otherCaFile, caFile);
  await expect(askWhetherEncrypted(backend)).rejects.toMatchObject({ reason: "PostgresTlsFailed" });
  copyFileSync(server.caFile, caFile);
  expect(await askWhetherEncrypted(backend)).toBe(true);
  copyFileSync(server.otherCaFile, caFile);
  await expect(askWhetherEncrypted(backend)).rejects.toMatchObject({ reason: "PostgresTlsFailed" });
  rmSync(dir, { recursive: true });
});
