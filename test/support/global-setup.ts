import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { startKafka } from "../../hack/servers/kafka.ts";
import { type Postgres, startPostgres } from "../../hack/servers/postgres.ts";
import { stateFolder } from "../../hack/servers/registry.ts";
import type { Pg } from "./servers.ts";

/** Starts the servers of a run, all at once, and returns what ends them. They also end with vitest, however it ends. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  mkdirSync(stateFolder, { recursive: true });
  const folder = mkdtempSync(join(stateFolder, "test-"));
  const [kafka, postgres15, postgres18] = await Promise.all([
    startKafka({ dir: join(folder, "kafka") }),
    startPostgres({ major: 15, dir: join(folder, "postgres-15") }),
    startPostgres({ major: 18, dir: join(folder, "postgres-18") }),
  ]);
  project.provide("servers", {
    kafka: { bootstrapServers: [kafka.bootstrapServers] },
    postgres15: connection(postgres15),
    postgres18: connection(postgres18),
  });

  return async () => {
    await Promise.all([kafka.remove(), postgres15.remove(), postgres18.remove()]);
    rmSync(folder, { recursive: true, force: true });
  };
}

const connection = ({ host, port, superuser, admin }: Postgres): Pg => ({ host, port, superuser, admin });
