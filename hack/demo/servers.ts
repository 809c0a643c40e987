import { join } from "node:path";
import { startKafka } from "../servers/kafka.ts";
import { startPostgres } from "../servers/postgres.ts";
import { type Lifetime, stateFolder } from "../servers/registry.ts";

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
