import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { startKafka } from "../../hack/servers/kafka.ts";
import { type Postgres, startPostgres } from "../../hack/servers/postgres.ts";
import { identify } from "../../hack/servers/process.ts";
import { removeLater, stateFolder, sweep } from "../../hack/servers/registry.ts";
import { startSecuredKafka } from "../../hack/servers/secured-kafka.ts";
import { lazyServer } from "./lazy-server.ts";
import type { Pg } from "./servers.ts";

/** Starts the servers of a run, all at once, and returns what ends them. They also end with vitest, however it ends. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  sweep();
  removeLeftovers();
  const removeTemporary = ownTemporaryFolder();
  const folder = join(stateFolder, `test-${process.pid}`);
  mkdirSync(folder, { recursive: true });
  const securedKafka = await lazyServer(async () => {
    const { place, kafka: secured } = await startSecuredKafka({ dir: join(folder, "secured-kafka") });
    return { answer: place, remove: () => secured.remove() };
  });
  const [kafka, postgres15, postgres18] = await Promise.all([
    startKafka({ dir: join(folder, "kafka") }),
    startPostgres({ major: 15, dir: join(folder, "postgres-15") }),
    startPostgres({ major: 18, dir: join(folder, "postgres-18") }),
  ]);
  project.provide("servers", {
    kafka: { bootstrapServers: [kafka.bootstrapServers] },
    postgres15: connection(postgres15),
    postgres18: connection(postgres18),
    securedKafka: securedKafka.url,
  });

  return async () => {
    await Promise.all([kafka.remove(), securedKafka.close(), postgres15.remove(), postgres18.remove()]);
    rmSync(folder, { recursive: true, force: true });
    removeTemporary();
  };
}

/** What tests leave in the temporary folder goes with the run, or with the next one where this one is killed. */
function ownTemporaryFolder(): () => void {
  const folder = mkdtempSync(join(tmpdir(), "audit-pipeline-run-"));
  // PostgreSQL runs as another user than root.
  chmodSync(folder, 0o1777);
  process.env["TMPDIR"] = folder;
  const forget = removeLater([folder]);
  return () => {
    rmSync(folder, { recursive: true, force: true });
    forget();
  };
}

/** The folders of runs that were killed. */
function removeLeftovers(): void {
  for (const name of existsSync(stateFolder) ? readdirSync(stateFolder) : []) {
    const [, pid] = /^test-(\d+)$/.exec(name) ?? [];
    if (pid !== undefined && identify(Number(pid)) === undefined) {
      rmSync(join(stateFolder, name), { recursive: true, force: true });
    }
  }
}

const connection = ({ host, port, superuser, admin }: Postgres): Pg => ({ host, port, superuser, admin });
