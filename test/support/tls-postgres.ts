import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Postgres, startPostgres } from "../../hack/servers/postgres.ts";
import { literal } from "../../operator/external/quote.ts";
import { asSuperuser } from "./ledger.ts";

export interface TlsPostgres {
  readonly pg: Postgres;
  /** PEM, of the authority that signed the server's certificate for `localhost`. */
  readonly caFile: string;
  /** Of an authority that has nothing to do with it. */
  readonly otherCaFile: string;
  remove(): Promise<void>;
}

/** A server of one's own that speaks TLS, with a certificate for localhost alone. */
export async function startTlsPostgres(): Promise<TlsPostgres> {
  const dir = mkdtempSync(join(tmpdir(), "audit-pipeline-pg-"));
  const pg = await startPostgres({ major: 18, dir: join(dir, "server") });
  makeCertificates(dir);
  await asSuperuser(pg, "postgres", async (client) => {
    const data = (await client.query("SHOW data_directory")).rows[0].data_directory;
    const { uid, gid } = statSync(data);
    for (const [file, setting] of [
      ["server.crt", "ssl_cert_file"],
      ["server.key", "ssl_key_file"],
    ] as const) {
      copyFileSync(join(dir, file), join(data, file));
      chownSync(join(data, file), uid, gid);
      chmodSync(join(data, file), 0o600);
      await client.query(`ALTER SYSTEM SET ${setting} = ${literal(join(data, file))}`);
    }
    await client.query("ALTER SYSTEM SET ssl = on");
    await client.query("SELECT pg_reload_conf()");
  });
  await tlsIsOn(pg);
  return {
    pg,
    caFile: join(dir, "ca.pem"),
    otherCaFile: join(dir, "other-ca.pem"),
    async remove() {
      await pg.remove();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Of the system, as the other tests of TLS have it. */
const program = "openssl";

function makeCertificates(dir: string): void {
  const openssl = (command: string) => execFileSync(program, command.split(" "), { cwd: dir, stdio: "pipe" });
  const newKey = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
  for (const ca of ["ca", "other-ca"]) {
    openssl(`req -x509 ${newKey} -keyout ${ca}.key -out ${ca}.pem -subj /CN=${ca} -days 2`);
  }
  openssl(`req ${newKey} -keyout server.key -out server.csr -subj /CN=localhost -addext subjectAltName=DNS:localhost`);
  openssl(
    "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.crt -days 2 -copy_extensions copy",
  );
}

/** A reload is answered before it is done. */
async function tlsIsOn(pg: Postgres): Promise<void> {
  for (let tries = 0; tries < 50; tries++) {
    const on = await asSuperuser(pg, "postgres", async (client) => (await client.query("SHOW ssl")).rows[0].ssl);
    if (on === "on") return;
    await sleep(100);
  }
  throw new Error("The server did not take its certificate");
}
