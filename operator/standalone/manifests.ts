import { parseAllDocuments } from "yaml";
import { validateResource } from "../../crds/validate.ts";
import { type ApplyConfiguration, InvalidError, type KubeObject } from "../runtime/object-store.ts";
import { admitBuiltIn } from "./admit.ts";
import { kinds } from "./kinds.ts";

/** One thing wrong with a manifest. */
export interface ManifestProblem {
  /** As in `spec.sinks[0].name`, or a line of the file. */
  path: string;
  found: string;
  allowed: string;
}

export type Manifests = { ok: true; objects: ApplyConfiguration[] } | { ok: false; problems: ManifestProblem[] };

const manifestKinds = ["AuditTopic", "AuditPipeline", "Secret", "ConfigMap"] as const;
type ManifestKind = (typeof manifestKinds)[number];

/** Fields of the kinds that no schema of ours describes. */
const dataFields = {
  Secret: ["apiVersion", "kind", "metadata", "type", "data", "stringData", "immutable"],
  ConfigMap: ["apiVersion", "kind", "metadata", "data", "immutable"],
};

/** All resources of a file, or everything that is wrong with it: a file is taken as a whole or not at all. Pure. */
export function parseManifests(text: string): Manifests {
  const documents = parseAllDocuments(text, { version: "1.2", uniqueKeys: true });
  if (!Array.isArray(documents)) return refused([nothing]);
  const broken = documents.flatMap(({ errors }) => errors);
  if (broken.length > 0) return refused(broken.map(yamlProblem));
  const contents: unknown[] = [];
  try {
    contents.push(...documents.map((document) => document.toJS({ maxAliasCount: 100 }) as unknown));
  } catch (error) {
    // An alias without an anchor, or aliases of aliases that would fill the memory.
    return refused([
      { path: "(the file)", found: (error as Error).message, allowed: "YAML with few aliases, or none" },
    ]);
  }
  const present = contents.filter((content) => content !== null);
  if (present.length === 0) return refused([nothing]);
  const results = present.map((content, index) =>
    parseOne(content, present.length === 1 ? "" : `document ${index + 1}: `),
  );
  const problems = results.flatMap((result) => (result.ok ? [] : result.problems));
  if (problems.length > 0) return refused(problems);
  const objects = results.flatMap((result) => (result.ok ? result.objects : []));
  const twice = repeated(objects);
  return twice === undefined ? { ok: true, objects } : refused([twice]);
}

/** In the words of a manifest's author; `prefix` tells documents of one file apart. */
export function problemsOf(error: InvalidError, prefix = ""): ManifestProblem[] {
  return error.causes.map(({ field, message, found, allowed }) => ({
    path: `${prefix}${field || "(the object)"}`,
    found: found ?? message,
    allowed: allowed ?? "see docs/api.md",
  }));
}

function parseOne(content: unknown, prefix: string): Manifests {
  if (!isRecord(content))
    return refused([{ path: `${prefix}(the object)`, found: typeof content, allowed: "a mapping" }]);
  const kind = manifestKinds.find((known) => known === content["kind"]);
  if (kind === undefined) {
    const allowed = `${manifestKinds.join(", ")}: anything else standalone makes itself`;
    return refused([{ path: `${prefix}kind`, found: show(content["kind"]), allowed }]);
  }
  const { metadata } = content;
  if (!isRecord(metadata) || typeof metadata["name"] !== "string") {
    const found = show(isRecord(metadata) ? metadata["name"] : metadata);
    return refused([{ path: `${prefix}metadata.name`, found, allowed: "a DNS name: every resource has one" }]);
  }
  const object = { ...content, metadata: { ...metadata, namespace: metadata["namespace"] ?? "default" } };
  const problems = check(kind, object as unknown as KubeObject & Record<string, unknown>);
  if (problems.length > 0) return refused(problems.map((problem) => ({ ...problem, path: prefix + problem.path })));
  return { ok: true, objects: [stated(object as unknown as ApplyConfiguration)] };
}

function check(kind: ManifestKind, object: KubeObject & Record<string, unknown>): ManifestProblem[] {
  try {
    admitBuiltIn(object);
  } catch (error) {
    if (error instanceof InvalidError) return problemsOf(error);
    throw error;
  }
  if (kind === "Secret" || kind === "ConfigMap") return unknownFields(object, dataFields[kind]);
  const validation = validateResource(object);
  return validation.ok ? [] : validation.causes.map(({ field, found, allowed }) => ({ path: field, found, allowed }));
}

function unknownFields(object: Record<string, unknown>, known: readonly string[]): ManifestProblem[] {
  return Object.keys(object)
    .filter((name) => !known.includes(name))
    .map((path) => ({ path, found: "an unknown field", allowed: known.join(", ") }));
}

/** What its author states, without what a server would have filled in (a manifest may come from `get -o yaml`). */
function stated({ status: _, metadata, ...rest }: ApplyConfiguration): ApplyConfiguration {
  const { name, namespace, labels, annotations } = metadata;
  return {
    ...rest,
    apiVersion: kinds[rest.kind as ManifestKind],
    kind: rest.kind,
    metadata: { name, namespace, ...(labels && { labels }), ...(annotations && { annotations }) },
  };
}

function repeated(objects: readonly ApplyConfiguration[]): ManifestProblem | undefined {
  const ids = objects.map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`);
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  return twice === undefined
    ? undefined
    : { path: "metadata.name", found: `${twice} twice`, allowed: "each resource once" };
}

function yamlProblem({
  message,
  linePos,
}: {
  message: string;
  linePos?: [{ line: number; col: number }, ...unknown[]];
}) {
  const [first = "not YAML"] = message.split("\n");
  const path = linePos === undefined ? "(the file)" : `line ${linePos[0].line}, column ${linePos[0].col}`;
  return { path, found: first.replace(/:$/, ""), allowed: "YAML 1.2 documents" };
}

const nothing: ManifestProblem = {
  ...{ path: "(the file)", found: "no document", allowed: "one or more resources; to remove them, remove the file" },
};

const refused = (problems: ManifestProblem[]): Manifests => ({ ok: false, problems });

const show = (value: unknown) => (value === undefined ? "nothing" : JSON.stringify(value).slice(0, 80));

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
