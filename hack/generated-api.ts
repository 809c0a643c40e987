import { stringify } from "yaml";
import { definitions, type StructuralSchema } from "../crds/definition.ts";
import { CONDITIONS, REASONS } from "../crds/v1alpha1/conditions.ts";
import { ANNOTATION_MEANINGS, GROUP, VERSION } from "../crds/v1alpha1/shared.ts";
import { generatedChart } from "./generated-chart.ts";

const NOTICE = "Generated from crds/v1alpha1/*.ts by `make generate`: change those.";

/** Path in the repository → text, for all that is made from the schemas, and of the chart what it shares with config/. */
export function generatedFiles(): Record<string, string> {
  const crds = definitions().map((crd) => [
    `crds/${VERSION}/${GROUP}_${crd.spec.names.plural}.yaml`,
    `# ${NOTICE}\n${stringify(crd, { version: "1.1", lineWidth: 0, aliasDuplicateObjects: false })}`,
  ]);
  return {
    ...Object.fromEntries(crds),
    ...generatedChart(),
    "docs/api.md": apiPage(),
    "docs/conditions.md": conditionsPage(),
  };
}

function apiPage(): string {
  const kinds = definitions().map((crd) => {
    const { kind, shortNames, categories } = crd.spec.names;
    const schema = crd.spec.versions[0]?.schema.openAPIV3Schema;
    return [
      `## ${kind}`,
      `Short name \`${shortNames.join()}\`, category \`${categories.join()}\`.`,
      "### spec",
      fieldTable(schema?.properties?.["spec"]),
      "### Rules",
      rules(schema),
      "### status",
      fieldTable(schema?.properties?.["status"]),
    ].join("\n\n");
  });
  const annotations = table(
    ["annotation", "what it does"],
    Object.entries(ANNOTATION_MEANINGS).map(([name, meaning]) => [`\`${name}\``, meaning]),
  );
  return page(`API ${GROUP}/${VERSION}`, INTRODUCTION, ...kinds, "## Annotations", annotations);
}

const INTRODUCTION = `Both kinds are namespaced. Durations are written largest unit first (\`168h\`, \`1h30m\`, \`500ms\`); there is no unit for
days. Sizes are whole bytes with a unit or without (\`8Mi\`, \`1G\`, \`"512"\`), always strings. A field marked immutable is
refused when it changes.

Unknown fields are refused by \`audit-pipeline validate\`, by standalone and by \`kubectl apply\` (whose default is
\`--validate=strict\`); a client that asks for less gets them dropped by the API server. A field that is null counts as
absent, except the values of \`config\`: \`kubectl apply\` keeps those only with \`--server-side\`. YAML is read by its
version 1.2: write \`true\` and \`false\`, not \`yes\` and \`no\`.`;

function conditionsPage(): string {
  const rows = (meanings: Record<string, string>) =>
    Object.entries(meanings).map(([name, meaning]) => [`\`${name}\``, meaning]);
  return page(
    "Conditions and reasons",
    "Conditions follow metav1.Condition and carry `observedGeneration`. Reasons are the same words in conditions and events; none is ever renamed.",
    "## Conditions",
    table(["condition", "meaning"], rows(CONDITIONS)),
    "## Reasons",
    table(["reason", "meaning"], rows(REASONS)),
  );
}

const page = (title: string, ...parts: string[]) => `<!-- ${NOTICE} -->\n# ${title}\n\n${parts.join("\n\n")}\n`;

const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("<", "&lt;");

const table = (head: string[], rows: string[][]) =>
  [head, head.map(() => "---"), ...rows.map((row) => row.map(cell))].map((row) => `| ${row.join(" | ")} |`).join("\n");

function fieldTable(schema: StructuralSchema | undefined): string {
  const rows = [...fields(schema, "")].map(({ path, field, required }) => [
    `\`${path}\``,
    required ? `${typeOf(field)}, required` : typeOf(field),
    field.default === undefined ? "" : `\`${JSON.stringify(field.default)}\``,
    field.description ?? "",
  ]);
  return table(["field", "type", "default", "description"], rows);
}

interface Field {
  path: string;
  field: StructuralSchema;
  required: boolean;
}

function* fields(schema: StructuralSchema | undefined, path: string): Generator<Field> {
  for (const [name, field] of Object.entries(schema?.properties ?? {})) {
    const own = path === "" ? name : `${path}.${name}`;
    yield { path: own, field, required: schema?.required?.includes(name) ?? false };
    yield* fields(field.items ?? field, field.items === undefined ? own : `${own}[]`);
  }
}

function typeOf(field: StructuralSchema): string {
  if (field["x-kubernetes-int-or-string"] === true) return "integer or string";
  if (field.enum !== undefined) return field.enum.join(", ");
  if (field.items !== undefined) return `list of ${field.items.type}, at most ${field.maxItems}`;
  if (typeof field.additionalProperties === "object") return `map of ${field.additionalProperties.type}`;
  const range = [field.minimum, field.maximum].filter((bound) => bound !== undefined);
  return range.length === 2 ? `${field.type} ${range.join(" to ")}` : `${field.type}`;
}

function rules(schema: StructuralSchema | undefined): string {
  const rows = [...allRules(schema, "")].map(({ path, message }) => [`\`${path}\``, message]);
  return table(["where", "rule"], rows);
}

function* allRules(schema: StructuralSchema | undefined, path: string): Generator<{ path: string; message: string }> {
  for (const { message } of schema?.["x-kubernetes-validations"] ?? []) yield { path: path || "object", message };
  for (const [name, field] of Object.entries(schema?.properties ?? {})) {
    yield* allRules(field, path === "" ? name : `${path}.${name}`);
  }
  if (schema?.items !== undefined) yield* allRules(schema.items, `${path}[]`);
}
