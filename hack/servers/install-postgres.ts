import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, existsSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { installOnce, publicCacheFolder } from "./cache.ts";
import { run, withProgress } from "./run.ts";

export type PostgresMajor = 15 | 18;

/** A package of its own: these binaries are no dependencies of the program. */
const downloads = join(import.meta.dirname, "downloads");

/**
 * Fetches the PostgreSQL binaries for this machine from npm (both majors, 35 MB) unless they are cached.
 * @returns the folder that holds `bin`, `lib` and `share`.
 */
export async function installPostgres(major: PostgresMajor): Promise<string> {
  const lockfile = readFileSync(join(downloads, "package-lock.json"));
  const key = createHash("sha256").update(lockfile).digest("hex").slice(0, 8);
  const platform = `${process.platform}-${process.arch}`;
  const folder = await installOnce(join(publicCacheFolder(), `postgres-${platform}-${key}`), (temporary) =>
    withProgress("Getting PostgreSQL 15 and 18 from npm", () => npm(temporary)),
  );

  const native = join(folder, "node_modules", `postgres-${major}-${platform}`, "native");
  if (existsSync(native)) return native;
  throw new Error(
    `No PostgreSQL ${major} binaries for ${platform}; there are some for linux and darwin, x64 and arm64`,
  );
}

async function npm(folder: string): Promise<void> {
  for (const file of ["package.json", "package-lock.json", ".npmrc"]) {
    copyFileSync(join(downloads, file), join(folder, file));
  }
  await run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"], { cwd: folder });
  for (const name of readdirSync(join(folder, "node_modules"))) {
    if (name.startsWith("postgres-")) linkLibraries(join(folder, "node_modules", name));
  }
  readableByAll(folder);
}

/** npm packages cannot hold symbolic links, so the package lists them for its install script, which we do not run. */
function linkLibraries(packageFolder: string): void {
  const list = join(packageFolder, "native/pg-symlinks.json");
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, "utf8")) as { source: string; target: string }[]) {
    const link = join(packageFolder, target);
    if (!existsSync(link)) symlinkSync(join(relative(dirname(target), dirname(source)), basename(source)), link);
  }
}

/** Under a strict umask the files would be ours alone, and root's PostgreSQL runs as another user. */
function readableByAll(folder: string): void {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue;
    const executable = entry.isDirectory() || basename(entry.parentPath) === "bin";
    chmodSync(join(entry.parentPath, entry.name), executable ? 0o755 : 0o644);
  }
}
