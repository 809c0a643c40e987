import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inNamespaces } from "./namespaces.ts";
import { developerCluster, keeperFile, pidFile } from "./running.ts";

/** Keeps the developer's cluster until it is told to end (SIGTERM); started by up.ts. */
const serve = [process.execPath, join(import.meta.dirname, "serve.ts")];
try {
  process.exitCode = await inNamespaces(developerCluster, serve, (pid) => writeFileSync(pidFile, `${pid}\n`));
} finally {
  rmSync(keeperFile, { force: true });
}
