import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { parse as parseYaml } from "yaml";

/**
 * A secret the platform mounts: a YAML mapping, or a directory with a file for each key, as Kubernetes mounts a Secret.
 * Read at each use, so that a rotated one is taken up. A value never gets into an error.
 *
 * @throws the file system's error, or one without a `code` where the file is no YAML
 */
export async function readSecretFile(path: string): Promise<unknown> {
  if (!(await stat(path)).isDirectory()) return parseYaml(await readFile(path, "utf8"));
  // What begins with a dot is the mount's own way of changing all files at once.
  const names = (await readdir(path)).filter((name) => !name.startsWith("."));
  const read = async (name: string) => [name, withoutNewline(await readFile(join(path, name), "utf8"))] as const;
  return Object.fromEntries(await Promise.all(names.map(read)));
}

/** Files made by hand, and by `kubectl create secret --from-file`, often end with a newline that is not part of it. */
const withoutNewline = (text: string) => text.replace(/\r?\n$/, "");
