import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { installOnce, publicCacheFolder } from "./cache.ts";
import { run, withProgress } from "./run.ts";

/** A program, and where the libraries are that come with it. */
export interface Pgbouncer {
  readonly command: string;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Whatever the machine has, else Debian's or Ubuntu's package (0.5 MB), unpacked into the cache: installing it would start a
 * service, and takes root.
 *
 * @throws where there is none and it cannot be had
 */
export async function installPgbouncer(): Promise<Pgbouncer> {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];
  const there = folders.map((folder) => join(folder, "pgbouncer")).find((file) => existsSync(file));
  if (there !== undefined) return { command: there, env: process.env };
  const folder = await installOnce(join(publicCacheFolder(), `pgbouncer-${process.arch}`), (temporary) =>
    withProgress("Getting PgBouncer with apt-get", () => unpack(temporary)),
  );
  const libraries = await run("find", [folder, "-name", "lib*.so.*", "-printf", "%h\n"]);
  const places = [...new Set(libraries.trim().split("\n"))].join(delimiter);
  return { command: join(folder, "usr/sbin/pgbouncer"), env: { ...process.env, LD_LIBRARY_PATH: places } };
}

/** The libraries that machines rarely have come too; their packages are named differently from release to release. */
async function unpack(folder: string): Promise<void> {
  const depends = await run("apt-cache", ["depends", "pgbouncer"]);
  const libraries = depends.match(/(?<=Depends: )lib(event|c-ares)\S*/g) ?? [];
  await run("apt-get", ["download", "-o", "Acquire::Retries=0", "pgbouncer", ...new Set(libraries)], { cwd: folder });
  await run("sh", ["-c", 'for package in *.deb; do dpkg -x "$package" . && rm "$package"; done'], { cwd: folder });
}
