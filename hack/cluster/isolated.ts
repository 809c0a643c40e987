import { mkdirSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { stateFolder } from "../servers/registry.ts";
import { inNamespaces } from "./namespaces.ts";
import { prepareCluster } from "./prepare.ts";

/** `isolated.ts COMMAND...`: runs it where it may start a cluster, and removes all of that when it ends. */
await prepareCluster();
mkdirSync(stateFolder, { recursive: true });
process.exitCode = await inNamespaces(mkdtempSync(join(stateFolder, "cluster-")), process.argv.slice(2));
