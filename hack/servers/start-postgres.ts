import { realpathSync } from "node:fs";
import { join } from "node:path";
import { startPostgres } from "./postgres.ts";

/** Started by servers.test.ts, which then kills it: a process that leaves a server behind. */
const [, , dir = ""] = process.argv;
const { pid } = await startPostgres({ major: 18, dir });
process.send?.({ pid, data: realpathSync(join(dir, "data")) });
setInterval(() => undefined, 60_000);
