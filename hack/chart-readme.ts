import { isMap, isPair, isScalar, type Pair, parseDocument, type YAMLMap } from "yaml";

interface Schema {
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly definitions?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly $ref?: string;
}

/** A value of the chart: its path, its default as JSON, and the comment `# -- …` above it. */
export interface ChartValue {
  readonly path: string;
  readonly fallback: unknown;
  /** Undefined: nobody has written one. */
  readonly comment: string | undefined;
}

/** Every value that is set in `values.yaml`; one whose comment stands above a mapping stands for all of it. */
export function chartValues(text: string): ChartValue[] {
  const root = parseDocument(text).contents;
  return isMap(root) ? [...values(root, "")] : [];
}

function* values(map: YAMLMap, path: string): Generator<ChartValue> {
  for (const [at, pair] of map.items.entries()) {
    if (!isPair(pair) || !isScalar(pair.key)) continue;
    const own = path === "" ? String(pair.key.value) : `${path}.${String(pair.key.value)}`;
    // The first key's comment belongs to the mapping it begins.
    const comment = commentOf(pair) ?? (at === 0 ? textOf(map.commentBefore) : undefined);
    const { value } = pair;
    if (comment === undefined && isMap(value) && value.items.length > 0) yield* values(value, own);
    else yield { path: own, fallback: toJson(value), comment };
  }
}

const toJson = (value: unknown) => (value as { toJSON(): unknown } | null)?.toJSON() ?? null;
const commentOf = ({ key }: Pair) => (isScalar(key) ? textOf(key.commentBefore) : undefined);

/** What follows the last `--`: notes before it are for the reader of the file. */
function textOf(comment: string | null | undefined): string | undefined {
  const start = comment?.lastIndexOf("-- ") ?? -1;
  return start === -1 ? undefined : comment?.slice(start + 3).replace(/\s*\n\s*/g, " ");
}

const cell = (text: string) => text.replaceAll("|", "\\|");
const row = (...cells: string[]) => `| ${cells.map(cell).join(" | ")} |`;
const table = (head: string[], rows: string[]) => [row(...head), row(...head.map(() => "---")), ...rows].join("\n");

/** The chart's page: what a person needs to install it, and every value. */
export function chartReadme(valuesText: string, schemaText: string): string {
  const settings = chartValues(valuesText).map(({ path, fallback, comment = "" }) =>
    row(`\`${path}\``, `\`${JSON.stringify(fallback)}\``, comment),
  );
  const { definitions = {} } = JSON.parse(schemaText) as Schema;
  return [
    "<!-- Generated from values.yaml and values.schema.json by `make generate`: change those. -->",
    INTRODUCTION,
    `## Values\n\n${table(["value", "default", "meaning"], settings)}`,
    `### \`backends.kafka.<name>\`\n\n${backendTable(definitions["kafkaBackend"])}`,
    `### \`backends.postgres.<name>\`\n\n${backendTable(definitions["postgresBackend"])}`,
    "The Secrets are read in the release's namespace; the operator sees a changed password or certificate without a restart.\n",
  ].join("\n\n");
}

const backendTable = (schema: Schema | undefined) =>
  table(
    ["value", "default", "meaning"],
    [...fields(schema, "")].map(([path, { description = "", default: fallback }, required]) =>
      row(
        `\`${path}\``,
        fallback === undefined ? "" : `\`${JSON.stringify(fallback)}\``,
        (required ? "Required. " : "") + description,
      ),
    ),
  );

function* fields(schema: Schema | undefined, path: string): Generator<[string, Schema, boolean]> {
  for (const [name, field] of Object.entries(schema?.properties ?? {})) {
    const own = path === "" ? name : `${path}.${name}`;
    // A reference's `name` says nothing that the reference does not.
    if (field.description !== undefined) yield [own, field, schema?.required?.includes(name) === true];
    yield* fields(field, own);
  }
}

const INTRODUCTION = `# Audit trails as one resource

The operator for \`AuditPipeline\` and \`AuditTopic\`: Kafka topics, PostgreSQL ledgers, and the sinks that carry every event from one to the other exactly once. Kubernetes 1.30 or newer, helm 3.18 or 4.

\`\`\`
kubectl create namespace audit-pipeline-system
kubectl label namespace audit-pipeline-system pod-security.kubernetes.io/enforce=restricted
kubectl -n audit-pipeline-system create secret generic audit-postgres-admin --from-literal=username=… --from-literal=password=…
helm install audit-pipeline charts/audit-pipeline -n audit-pipeline-system -f values-minimal.yaml --wait
\`\`\`

\`--wait\` returns when the operator has answered for its Lease and read what it watches. docs/install.md of the repository tells about upgrades, uninstalling, rights per namespace and the deletion guard.`;
