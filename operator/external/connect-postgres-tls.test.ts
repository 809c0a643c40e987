import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Postgres, startPostgres } from "../../hack/servers/postgres.ts";
import { asSuperuser, backendFor } from "../../test/support/ledger.ts";
import { connectPostgres, type PostgresServer } from "./connect-postgres.ts";
import { literal } from "./quote.ts";

/** A server with a certificate for localhost, signed by an authority of this test's own. */
const dir = mkdtempSync(join(tmpdir(), "audit-pipeline-pg-"));
const connections = connectPostgres();
const caFile = join(dir, "ca.pem");
const otherCaFile = join(dir, "other-ca.pem");
let pg: Postgres;

/** Of the system, as the other tests of TLS have it. */
const program = "openssl";
const openssl = (...args: string[]) => execFileSync(program, args, { cwd: dir, stdio: "pipe" });

beforeAll(async () => {
  pg = await startPostgres({ major: 18, dir: join(dir, "server") });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  for (const ca of ["ca", "other-ca"]) {
    openssl("req", "-x509", ...newKey, "-keyout", `${ca}.key`, "-out", `${ca}.pem`, "-subj", `/CN=${ca}`, "-days", "2");
  }
  openssl(
    "req",
    ...newKey,
    "-keyout",
    "server.key",
    "-out",
    "server.csr",
    "-subj",
    "/CN=localhost",
    "-addext",
    "subjectAltName=DNS:localhost",
  );
  openssl(
    "x509",
    "-req",
    "-in",
    "server.csr",
    "-CA",
    "ca.pem",
    "-CAkey",
    "ca.key",
    "-CAcreateserial",
    "-out",
    "server.crt",
    "-days",
    "2",
    "-copy_extensions",
    "copy",
  );

  await asSuperuser(pg, "postgres", async (client) => {
    const data = (await client.query("SHOW data_directory")).rows[0].data_directory;
    const { uid, gid } = statSync(data);
    for (const file of ["server.crt", "server.key"]) {
      copyFileSync(join(dir, file), join(data, file));
      chownSync(join(data, file), uid, gid);
      chmodSync(join(data, file), 0o600);
      await client.query(
        `ALTER SYSTEM SET ssl_${file.endsWith("key") ? "key" : "cert"}_file = ${literal(join(data, file))}`,
      );
    }
    await client.query("ALTER SYSTEM SET ssl = on");
    await client.query("SELECT pg_reload_conf()");
  });
  // A reload is answered before it is done.
  for (let tries = 0; tries < 50; tries++) {
    const on = await asSuperuser(pg, "postgres", async (client) => (await client.query("SHOW ssl")).rows[0].ssl);
    if (on === "on") return;
    await sleep(100);
  }
  throw new Error("The server did not take its certificate");
});
afterAll(async () => {
  await connections.close();
  await pg.remove();
  rmSync(dir, { recursive: true, force: true });
});

const isEncrypted = (over: Partial<PostgresServer>) =>
  connections.admin(
    { ...backendFor(pg), name: JSON.stringify(over), ...over },
    "postgres",
    async (client) =>
      (await client.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")).rows[0].ssl as boolean,
  );

test.for<{ over: Partial<PostgresServer>; want: boolean }>([
  { over: { sslMode: "Disable", host: "localhost" }, want: false },
  { over: { sslMode: "Prefer", host: "localhost" }, want: true },
  { over: { sslMode: "Require", host: "127.0.0.1" }, want: true },
  { over: { sslMode: "VerifyCa", host: "127.0.0.1", caFile }, want: true },
  { over: { sslMode: "VerifyFull", host: "localhost", caFile }, want: true },
])("$over.sslMode to $over.host is encrypted: $want", async ({ over, want }) => {
  expect(await isEncrypted(over)).toBe(want);
});

test.for<{ name: string; over: Partial<PostgresServer> }>([
  {
    name: "VerifyFull refuses a name that is not in the certificate",
    over: { sslMode: "VerifyFull", host: "127.0.0.1", caFile },
  },
  {
    name: "VerifyFull refuses another authority",
    over: { sslMode: "VerifyFull", host: "localhost", caFile: otherCaFile },
  },
  {
    name: "VerifyFull refuses a private authority it was not given",
    over: { sslMode: "VerifyFull", host: "localhost" },
  },
  { name: "VerifyCa refuses another authority", over: { sslMode: "VerifyCa", host: "localhost", caFile: otherCaFile } },
  {
    name: "VerifyCa refuses a file that is not there",
    over: { sslMode: "VerifyCa", host: "localhost", caFile: "/nonexistent" },
  },
])("$name", async ({ over }) => {
  await expect(isEncrypted(over)).rejects.toMatchObject({ name: "WaitingError", reason: "PostgresUnreachable" });
});
