import { rmSync } from "node:fs";
import { join } from "node:path";
import { type Kafka, startKafka } from "../servers/kafka.ts";
import { type Postgres, startPostgres } from "../servers/postgres.ts";
import { stateFolder } from "../servers/registry.ts";

export interface Servers {
  readonly folder: string;
  readonly kafka: Kafka;
  readonly postgres: Postgres;
  remove(): Promise<void>;
}

/** fsync and synchronous_commit are on, as they are by default; the others keep the server's own work out of single rounds. */
export const postgresSettings = {
  shared_buffers: "512MB",
  max_wal_size: "16GB",
  checkpoint_timeout: "30min",
  autovacuum: "off",
  // The rates are taken from the server's own commit times.
  track_commit_timestamp: "on",
} as const;

/** A broker and a PostgreSQL 18 that nobody else uses. They end with this process, however that ends. */
export async function startServers(): Promise<Servers> {
  const folder = join(stateFolder, `bench-${process.pid}`);
  const [kafka, postgres] = await Promise.all([
    startKafka({ dir: join(folder, "kafka"), heap: 512, optimise: true }),
    startPostgres({ major: 18, dir: join(folder, "postgres"), settings: postgresSettings }),
  ]);
  return {
    folder,
    kafka,
    postgres,
    async remove() {
      await Promise.all([kafka.remove(), postgres.remove()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
