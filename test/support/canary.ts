import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { KubeObject, ObjectStore } from "../../operator/runtime/object-store.ts";

/** Where secrets must not turn up. */
export interface Places {
  readonly store: ObjectStore;
  /** Files and folders of logs and data, ours and the servers'. */
  readonly files?: readonly string[];
  /** Whatever was written or answered: logs, metrics. */
  readonly texts?: readonly string[];
}

/** Kinds of which anybody with a look at the namespace sees the content; Secrets are the place for secrets. */
const KINDS = ["AuditPipeline", "AuditTopic", "Event", "ConfigMap", "Deployment", "Pod", "ServiceAccount"];

/**
 * Every place that holds one of the secrets, in clear, as base64 (also in the middle of what is encoded), as hex or as part of a URL: empty is
 * what is wanted. Arguments of all processes are looked through too. The environment of a sink holds its own login; only
 * the same user can read that.
 */
export async function leaks(secrets: readonly string[], { store, files = [], texts = [] }: Places): Promise<string[]> {
  const needles = secrets.flatMap(formsOf);
  const found: string[] = [];
  const look = (place: string, text: string) => {
    if (needles.some((needle) => text.includes(needle))) found.push(place);
  };
  for (const kind of KINDS) {
    const { items } = await store.list<KubeObject>(kind);
    for (const object of items)
      look(`${kind} ${object.metadata.namespace}/${object.metadata.name}`, JSON.stringify(object));
  }
  for (const file of files.flatMap(filesIn)) look(file, readFileSync(file, "latin1"));
  for (const [at, text] of texts.entries()) look(`text ${at}`, text);
  for (const [pid, args] of processArguments()) look(`arguments of process ${pid}`, args);
  return found;
}

const formsOf = (secret: string): string[] => {
  const bytes = Buffer.from(secret);
  const encoded = [0, 1, 2].flatMap((before) => [
    base64After(before, bytes, "base64"),
    base64After(before, bytes, "base64url"),
  ]);
  return [...new Set([secret, ...encoded, bytes.toString("hex"), encodeURIComponent(secret)])];
};

/** Base64 takes three bytes at a time: what it makes of a text depends on where it stands. What its neighbours decide is left out. */
function base64After(before: number, bytes: Buffer, encoding: "base64" | "base64url"): string {
  const text = Buffer.concat([Buffer.alloc(before), bytes])
    .toString(encoding)
    .replace(/=+$/, "");
  const sure = Math.floor(((before + bytes.length) * 8) / 6);
  return text.slice(Math.ceil((before * 8) / 6), sure);
}

/** A line out of the middle of a PEM file: enough to tell it by, in whatever it is quoted. */
export function middleOfPem(pem: string): string {
  const lines = pem.split("\n").filter((line) => line !== "" && !line.startsWith("-----"));
  return lines[Math.floor((lines.length - 1) / 2)] ?? "";
}

function filesIn(path: string): string[] {
  if (!existsSync(path)) return [];
  if (statSync(path).isFile()) return [path];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

function processArguments(): [string, string][] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid): [string, string][] => {
      try {
        return [[pid, readFileSync(`/proc/${pid}/cmdline`, "utf8")]];
      } catch {
        return [];
      }
    });
}
