import { createHash } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { WaitingError } from "../errors.ts";
import type { KubeObject, ObjectStore } from "../runtime/object-store.ts";
import type { Container, EnvVar, Pod, Volume } from "./workload-types.ts";

/** The container as a process can be started from it. */
export interface Materialised {
  command: string[];
  env: Record<string, string>;
}

type DataObject = KubeObject & { data?: Record<string, string> };

/**
 * Writes the pod's volumes below `dir` and resolves its environment. A mount path stands for the folder it is written
 * to: in command, arguments, environment and the files of ConfigMaps. Throws WaitingError while something referenced
 * is missing.
 */
export async function materialise(
  pod: Pod,
  container: Container,
  dir: string,
  store: ObjectStore,
): Promise<Materialised> {
  const volumes = join(dir, "volumes");
  await rm(volumes, { recursive: true, force: true });
  const mounts = mountsOf(container, volumes);
  for (const volume of pod.spec.volumes ?? []) await writeVolume(pod, volume, volumes, mounts, store);
  const env: Record<string, string> = {};
  for (const entry of container.env ?? []) {
    const value = await valueOf(pod, entry, store);
    if (value !== undefined) env[entry.name] = rewrite(value, mounts);
  }
  const command = [...(container.command ?? []), ...(container.args ?? [])].map((word) => rewrite(word, mounts));
  return { command, env };
}

interface Mount {
  path: string;
  folder: string;
}

/** The longest path first, so that a mount inside another wins. */
function mountsOf({ volumeMounts = [] }: Container, volumes: string): Mount[] {
  const mounts = volumeMounts.map(({ name, mountPath, subPath }) => ({
    path: mountPath.replace(/\/+$/, ""),
    folder: join(volumes, safe(name), subPath ?? ""),
  }));
  return mounts.toSorted((a, b) => b.path.length - a.path.length);
}

/** Replaces mount paths where they stand as whole path segments. Pure. */
export function rewrite(text: string, mounts: readonly Mount[]): string {
  if (mounts.length === 0) return text;
  const alternatives = mounts.map(({ path }) => path.replaceAll(/[^\w/]/g, String.raw`\$&`)).join("|");
  return text.replaceAll(new RegExp(`(?<![\\w./-])(?:${alternatives})(?![\\w.-])`, "g"), (found) => {
    return mounts.find(({ path }) => path === found)?.folder ?? found;
  });
}

async function writeVolume(pod: Pod, volume: Volume, volumes: string, mounts: Mount[], store: ObjectStore) {
  const folder = join(volumes, safe(volume.name));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { configMap, secret } = volume;
  if (configMap) {
    const data = await dataOf("ConfigMap", pod, configMap.name, configMap.optional, store);
    for (const [key, text] of Object.entries(data)) {
      await writeFile(join(folder, safe(key)), rewrite(text, mounts), { mode: 0o600 });
    }
  }
  if (secret) {
    const data = await dataOf("Secret", pod, secret.secretName, secret.optional, store);
    for (const [key, text] of Object.entries(data)) {
      await writeFile(join(folder, safe(key)), Buffer.from(text, "base64"), { mode: 0o600 });
    }
  }
}

async function valueOf(pod: Pod, { name, value, valueFrom }: EnvVar, store: ObjectStore): Promise<string | undefined> {
  if (valueFrom === undefined) return value ?? "";
  const { secretKeyRef, configMapKeyRef, fieldRef } = valueFrom;
  if (fieldRef) return fieldOf(pod, fieldRef.fieldPath);
  const kind = secretKeyRef ? "Secret" : "ConfigMap";
  const ref = secretKeyRef ?? configMapKeyRef;
  if (ref === undefined) throw missing(`variable ${name} names no source`);
  const found = (await dataOf(kind, pod, ref.name, ref.optional, store))[ref.key];
  if (found === undefined && !ref.optional) throw missing(`${kind} ${ref.name} has no key ${ref.key}`);
  return found !== undefined && kind === "Secret" ? Buffer.from(found, "base64").toString() : found;
}

function fieldOf({ metadata }: Pod, path: string): string {
  const [, map, key] = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path) ?? [];
  if (map !== undefined && key !== undefined) return metadata[map as "labels" | "annotations"]?.[key] ?? "";
  const fields: Record<string, string> = {
    "metadata.name": metadata.name,
    "metadata.namespace": metadata.namespace,
    "metadata.uid": metadata.uid,
    "status.podIP": "127.0.0.1",
  };
  const value = fields[path];
  if (value === undefined) throw missing(`field ${path} is not known here`);
  return value;
}

async function dataOf(
  kind: "Secret" | "ConfigMap",
  { metadata: { namespace } }: Pod,
  name: string,
  optional: boolean | undefined,
  store: ObjectStore,
): Promise<Record<string, string>> {
  const found = await store.get<DataObject>({ kind, namespace, name });
  if (found === undefined && !optional) throw missing(`${kind} ${name} does not exist`);
  return found?.data ?? {};
}

const missing = (message: string) => new WaitingError("CreateContainerConfigError", message, { requeueAfterMs: 1_000 });

/** Volume names and keys are checked where they enter; a path must not leave the folder all the same. */
const safe = (name: string): string =>
  /^[-._a-zA-Z0-9]+$/.test(name) && !name.startsWith("..")
    ? name
    : createHash("sha256").update(name).digest("hex").slice(0, 16);
