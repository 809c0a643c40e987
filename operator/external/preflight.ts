import type { KafkaBackend } from "../config.ts";
import { connectKafka } from "./connect-kafka.ts";
import { connectPostgres, type PostgresConnections, type PostgresServer } from "./connect-postgres.ts";

export interface BackendProbe {
  /** `Kafka default`, `PostgreSQL default`. */
  readonly backend: string;
  readonly ok: boolean;
  readonly detail: string;
}

interface Backends {
  readonly kafka: readonly KafkaBackend[];
  readonly postgres: readonly PostgresServer[];
}

/** Of those whose tables are tested. */
const OLDEST_POSTGRES = 15;

/** Whether each back-end answers the operator's login, and whether that may do what the operator needs. Never writes. */
export async function probeBackends(backends: Backends): Promise<BackendProbe[]> {
  const [kafka, postgres] = [connectKafka(), connectPostgres()];
  try {
    return await Promise.all([
      ...backends.kafka.map((backend) =>
        probe(`Kafka ${backend.name}`, async () => brokersOf(backend, await kafka.to(backend).brokers.ports())),
      ),
      ...backends.postgres.map((backend) => probe(`PostgreSQL ${backend.name}`, () => adminOf(backend, postgres))),
    ]);
  } finally {
    await Promise.allSettled([kafka.close(), postgres.close()]);
  }
}

type Verdict = Omit<BackendProbe, "backend">;

async function probe(backend: string, look: () => Promise<Verdict>): Promise<BackendProbe> {
  const failed = (error: unknown) => ({ ok: false, detail: error instanceof Error ? error.message : String(error) });
  return { backend, ...(await look().catch(failed)) };
}

function brokersOf({ replicationFactor }: KafkaBackend, { length }: readonly number[]): Verdict {
  const ok = length >= replicationFactor;
  const brokers = `${length} ${length === 1 ? "broker answers" : "brokers answer"}`;
  return { ok, detail: ok ? brokers : `${brokers}, fewer than replicationFactor ${replicationFactor}` };
}

async function adminOf(backend: PostgresServer, connections: PostgresConnections): Promise<Verdict> {
  const { rows } = await connections.admin(backend, backend.maintenanceDatabase, (client) =>
    client.query<{ name: string; version: string; number: string; missing: string[] }>(
      `SELECT rolname AS name, current_setting('server_version') AS version,
              current_setting('server_version_num') AS number,
              array_remove(ARRAY[CASE WHEN NOT (rolcreatedb OR rolsuper) THEN 'CREATEDB' END,
                                 CASE WHEN NOT (rolcreaterole OR rolsuper) THEN 'CREATEROLE' END], NULL) AS missing
         FROM pg_catalog.pg_roles WHERE rolname = current_user`,
    ),
  );
  const [{ name, version, number, missing }] = rows as [(typeof rows)[number]];
  const login = `PostgreSQL ${version}, login ${name}`;
  if (Number(number) < OLDEST_POSTGRES * 10_000) {
    return { ok: false, detail: `${login}: PostgreSQL ${OLDEST_POSTGRES} or newer is needed` };
  }
  if (missing.length === 0) return { ok: true, detail: `${login} with CREATEDB and CREATEROLE` };
  return { ok: false, detail: `${login} lacks ${missing.join(" and ")}; ALTER ROLE gives it` };
}
