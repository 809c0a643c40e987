import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Certificate, newAuthority } from "../../hack/servers/certificates.ts";
import { type Postgres, startPostgres } from "../../hack/servers/postgres.ts";
import { literal } from "../../operator/external/quote.ts";
import { asSuperuser } from "./ledger.ts";

/** What the server shows to who wants TLS. Without TLS it answers that it has none. */
export type Shown = "good" | "expired" | "of another host" | "of another authority" | "no TLS";

export interface TlsPostgres {
  readonly pg: Postgres;
  /** PEM, of the authority that signed the server's certificate for `localhost`. */
  readonly caFile: string;
  /** Of an authority that signed only the certificate "of another authority". */
  readonly otherCaFile: string;
  /** From now on, for new connections; those that are open are ended. */
  show(what: Shown): Promise<void>;
  remove(): Promise<void>;
}

/** A server of one's own that speaks TLS, with a certificate for localhost alone. */
export async function startTlsPostgres(): Promise<TlsPostgres> {
  const dir = mkdtempSync(join(tmpdir(), "audit-pipeline-pg-"));
  const pg = await startPostgres({ major: 18, dir: join(dir, "server") });
  const [own, other] = ["ca", "other-ca"].map((name) => newAuthority(join(dir, "certificates"), name));
  if (own === undefined || other === undefined) throw new Error("No authorities");
  const hosts = ["localhost"];
  const certificates: Readonly<Record<Exclude<Shown, "no TLS">, Certificate>> = {
    good: own.sign("good", { hosts }),
    expired: own.sign("expired", { hosts, days: -1 }),
    "of another host": own.sign("elsewhere", { hosts: ["elsewhere.example"] }),
    "of another authority": other.sign("foreign", { hosts }),
  };
  const show = (what: Shown) => reload(pg, what === "no TLS" ? undefined : certificates[what]);
  await show("good");
  return {
    pg,
    caFile: own.caFile,
    otherCaFile: other.caFile,
    show,
    async remove() {
      await pg.remove();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** No restart: the server reads its certificate again when it is told to. */
async function reload(pg: Postgres, certificate: Certificate | undefined): Promise<void> {
  const settings = await asSuperuser(pg, "postgres", async (client) => {
    const data: string = (await client.query("SHOW data_directory")).rows[0].data_directory;
    const wanted =
      certificate === undefined
        ? { ssl: "off" }
        : {
            ssl: "on",
            ssl_cert_file: owned(certificate.certFile, data),
            ssl_key_file: owned(certificate.keyFile, data),
          };
    for (const [setting, value] of Object.entries(wanted)) {
      await client.query(`ALTER SYSTEM SET ${setting} = ${literal(value)}`);
    }
    await client.query("SELECT pg_reload_conf()");
    return Object.entries(wanted);
  });
  await isLoaded(pg, settings);
  await asSuperuser(pg, "postgres", (client) =>
    client.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
    ),
  );
}

/** A copy that the server's user may read, as nobody else. */
function owned(file: string, folder: string): string {
  const copy = join(folder, file.slice(file.lastIndexOf("/") + 1));
  copyFileSync(file, copy);
  const { uid, gid } = statSync(folder);
  chownSync(copy, uid, gid);
  chmodSync(copy, 0o600);
  return copy;
}

/** A reload is answered before it is done. */
async function isLoaded(pg: Postgres, settings: readonly [string, string][]): Promise<void> {
  const names = settings.map(([name]) => name);
  for (let tries = 0; tries < 100; tries++) {
    const { rows } = await asSuperuser(pg, "postgres", (client) =>
      client.query<{ name: string; setting: string }>("SELECT name, setting FROM pg_settings WHERE name = ANY ($1)", [
        names,
      ]),
    );
    const now = new Map(rows.map(({ name, setting }) => [name, setting]));
    if (settings.every(([name, value]) => now.get(name) === value)) return;
    await sleep(100);
  }
  throw new Error("The server did not take its certificate");
}
