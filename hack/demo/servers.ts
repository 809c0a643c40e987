import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { startKafka } from "../servers/kafka.ts";
import { startPostgres } from "../servers/postgres.ts";
import { isRunning, killTree, sinksOf } from "../servers/process.ts";
import { type Lifetime, records, stateFolder, sweep } from "../servers/registry.ts";

export interface DemoServers {
  readonly bootstrapServers: string;
  /** A login with CREATEDB and CREATEROLE. */
  readonly postgres: {
    readonly host: string;
    readonly port: number;
    readonly user: string;
    readonly password: string;
    readonly sslMode: string;
  };
  stop(): Promise<void>;
}

/** One demo at a time in a clone: it works in one folder. What a killed one left there is ended and removed. */
export function takeDemoFolder(): void {
  const running = records().filter(({ kind, process: target }) => kind === "operator" && isRunning(target));
  if (running.length > 0) {
    throw new Error("A demo is running in this clone already (started with KEEP=1?). Stop it with: make servers-down");
  }
  sweep();
  const folder = join(stateFolder, "demo");
  for (const target of sinksOf(join(folder, "state"))) killTree(target);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
}

/** The person's own servers where the environment names them, else new ones. */
export async function demoServers(env: NodeJS.ProcessEnv, lifetime: Lifetime): Promise<DemoServers> {
  const { KAFKA_BOOTSTRAP_SERVERS: bootstrap, POSTGRES_ADMIN_URL: adminUrl } = env;
  const [kafka, postgres] = await Promise.all([
    bootstrap ? undefined : startKafka({ dir: join(stateFolder, "demo", "kafka"), lifetime }),
    adminUrl ? undefined : startPostgres({ major: 18, dir: join(stateFolder, "demo", "postgres"), lifetime }),
  ]);
  return {
    bootstrapServers: kafka?.bootstrapServers ?? bootstrap ?? "",
    postgres:
      postgres === undefined
        ? parseUrl(adminUrl ?? "")
        : { host: postgres.host, port: postgres.port, ...postgres.admin, sslMode: "Disable" },
    async stop() {
      await Promise.all([kafka?.remove(), postgres?.remove()]);
    },
  };
}

const SSL_MODES: Record<string, string> = {
  disable: "Disable",
  prefer: "Prefer",
  require: "Require",
  "verify-ca": "VerifyCa",
  "verify-full": "VerifyFull",
};

function parseUrl(text: string) {
  const url = new URL(text);
  return {
    host: url.hostname,
    port: Number(url.port || 5432),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    sslMode: SSL_MODES[url.searchParams.get("sslmode") ?? "prefer"] ?? "Prefer",
  };
}
