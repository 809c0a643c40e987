import { isDeepStrictEqual } from "node:util";
import type { z } from "zod";
import { type Cause, cause, causesOf, show } from "./causes.ts";
import { type Rule, rulesOf } from "./rules.ts";
import { dropNulls, isRecord, type Visited, visit, withDefaults } from "./schema-tree.ts";
import { type AuditPipelineSpec, auditPipeline } from "./v1alpha1/audit-pipeline.ts";
import { type AuditTopicSpec, auditTopic } from "./v1alpha1/audit-topic.ts";
import type { API_VERSION, ResourceMetadata } from "./v1alpha1/shared.ts";

export type { Cause } from "./causes.ts";

/** A manifest's metadata: what the server adds may be there or not. */
export type ManifestMetadata = Partial<ResourceMetadata> & { name: string };

export type ValidResource = { apiVersion: typeof API_VERSION; metadata: ManifestMetadata } & (
  | { kind: "AuditTopic"; spec: AuditTopicSpec }
  | { kind: "AuditPipeline"; spec: AuditPipelineSpec }
);

export type Validation = { ok: true; value: ValidResource } | { ok: false; causes: Cause[] };

const SCHEMAS: ReadonlyMap<unknown, z.ZodType> = new Map<unknown, z.ZodType>([
  ["AuditTopic", auditTopic],
  ["AuditPipeline", auditPipeline],
]);

/**
 * The answer an API server with the generated CRDs gives to a create, or with `old` to an update: null dropped,
 * defaults filled in, schema, then rules. `value` is the object with its defaults and without its status, which only
 * the operator writes: a manifest's status is dropped unseen.
 *
 * Unknown fields are refused, as `kubectl apply` does (fieldValidation=Strict). A bare API call would drop them, and a
 * misspelt `retenton` would then be a ledger without the retention somebody asked for.
 *
 * An update that leaves the spec as it is passes even where today's rules refuse that spec, so that a finalizer can be
 * taken off. API servers from 1.33 on are as lenient with every single field that an update leaves alone.
 */
export function validateResource(object: unknown, old?: unknown): Validation {
  if (!isRecord(object)) return { ok: false, causes: [cause("", show(object), "must be an object")] };
  const schema = SCHEMAS.get(object["kind"]);
  if (schema === undefined) {
    return { ok: false, causes: [cause("kind", show(object["kind"]), "must be one of AuditTopic, AuditPipeline")] };
  }

  const given = declared(schema, object);
  const before = isRecord(old) ? declared(schema, old) : undefined;
  const causes = problems(schema, given, before);
  const held =
    before === undefined || !isDeepStrictEqual(given["spec"], before["spec"]) ? causes : causes.filter(inMetadata);
  return held.length > 0 ? { ok: false, causes: held } : { ok: true, value: given as unknown as ValidResource };
}

function declared(schema: z.ZodType, object: Record<string, unknown>): Record<string, unknown> {
  const { status: _, ...rest } = object;
  return withDefaults(schema, dropNulls(schema, rest)) as Record<string, unknown>;
}

const inMetadata = ({ field }: Cause) => field !== "spec" && !field.startsWith("spec.");

/** No rule is asked about what the schema refuses. */
function problems(schema: z.ZodType, given: unknown, before: unknown): Cause[] {
  const parsed = schema.safeParse(given);
  if (!parsed.success) return parsed.error.issues.flatMap((issue) => causesOf(issue, schema, given));
  return [...visit(schema, given, before)].flatMap((place) => [...repeatedKeys(place), ...brokenRules(place)]);
}

function brokenRules({ node, path, value, old }: Visited): Cause[] {
  if (value === null) return [];
  return rulesOf(node.schema)
    .filter((rule) => !holds(rule, value, old))
    .map((rule) => {
      const field = [path, rule.field].filter(Boolean).join(".");
      const found = show(rule.field === undefined ? value : at(value, rule.field));
      const before =
        rule.kind === "Transition" ? `, before ${show(rule.field === undefined ? old : at(old, rule.field))}` : "";
      return cause(field, `${found}${before}`, rule.message);
    });
}

/** As in CEL, a rule that cannot be answered (an old object of another shape) does not hold. */
function holds(rule: Rule, value: unknown, old: unknown): boolean {
  if (rule.kind === "Transition" && old === undefined) return true;
  try {
    return rule.kind === "Value" ? rule.holds(value) : rule.holds(value, old);
  } catch {
    return false;
  }
}

const at = (value: unknown, field: string): unknown =>
  field.split(".").reduce((inner: unknown, step) => (isRecord(inner) ? inner[step] : undefined), value);

function repeatedKeys({ node, path, value }: Visited): Cause[] {
  if (node.kind !== "Array" || node.mapKeys === undefined || !Array.isArray(value)) return [];
  const keys = node.mapKeys;
  const ids = value.map((item) => JSON.stringify(keys.map((key) => (isRecord(item) ? item[key] : undefined))));
  return ids.flatMap((id, index) =>
    ids.indexOf(id) === index
      ? []
      : [
          cause(
            `${path}[${index}]`,
            show(value[index]),
            `${keys.join(" and ")} must be unique in the list: rename one`,
          ),
        ],
  );
}
