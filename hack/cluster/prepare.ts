import { installPostgres } from "../servers/install-postgres.ts";
import { prepareKafka } from "../servers/kafka.ts";
import { buildComponents } from "./build.ts";
import { pauseArchive } from "./pause.ts";
import { ensurePrerequisites } from "./prerequisites.ts";

/** Everything a cluster needs and does not have: downloads and builds, the first time about ten minutes on two cores. */
export async function prepareCluster(): Promise<void> {
  await ensurePrerequisites();
  await Promise.all([prepareKafka(), installPostgres(18)]);
  await buildComponents();
  await pauseArchive();
}
