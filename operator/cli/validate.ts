import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { parseManifests } from "../standalone/manifests.ts";
import { Failure } from "./failure.ts";
import { qualifiedKind } from "./resource-names.ts";

export interface Verdict {
  /** One line per valid resource. */
  valid: string[];
  /** One line per problem: file, path, found, allowed. */
  refused: string[];
}

/** `validate -f P`: a file, a folder's manifests, or `-` for standard input. Reads nothing else, and no cluster. */
export async function validate(path: string): Promise<Verdict> {
  const verdict: Verdict = { valid: [], refused: [] };
  for (const file of await filesOf(path)) {
    const parsed = parseManifests(await readManifest(file));
    if (parsed.ok) {
      const lines = parsed.objects.map(({ kind, metadata }) => `${qualifiedKind(kind)}/${metadata.name} is valid`);
      verdict.valid.push(...lines);
    } else {
      const lines = parsed.problems.map(
        (problem) => `${file}: ${problem.path}: found ${problem.found}; ${problem.allowed}`,
      );
      verdict.refused.push(...lines);
    }
  }
  return verdict;
}

/** The manifests that `-f` names; `-` stays `-`. */
export async function filesOf(path: string): Promise<string[]> {
  if (path === "-") return ["-"];
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) throw new Failure(`${path} does not exist`, 2);
  if (!found.isDirectory()) return [path];
  const names = (await readdir(path)).filter((name) => /^[^.].*\.(ya?ml|json)$/.test(name)).toSorted();
  if (names.length === 0) throw new Failure(`${path} holds no .yaml, .yml or .json file`, 2);
  return names.map((name) => join(path, name));
}

export const readManifest = (file: string) => (file === "-" ? standardInput() : readFile(file, "utf8"));

async function standardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
