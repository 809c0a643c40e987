import type { z } from "zod";
import { type Cause, cause, causesOf, show } from "./causes.ts";
import { rulesOf } from "./rules.ts";
import { dropNulls, isRecord, type Visited, visit } from "./schema-tree.ts";
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
 */
export function validateResource(object: unknown, old?: unknown): Validation {
  if (!isRecord(object)) return { ok: false, causes: [cause("", show(object), "must be an object")] };
  const schema = SCHEMAS.get(object["kind"]);
  if (schema === undefined) {
    return { ok: false, causes: [cause("kind", show(object["kind"]), "must be one of AuditTopic, AuditPipeline")] };
  }

  const { status: _, ...declared } = object;
  const given = dropNulls(schema, declared);
  const parsed = schema.safeParse(given);
  if (!parsed.success) {
    return { ok: false, causes: parsed.error.issues.flatMap((issue) => causesOf(issue, schema, given)) };
  }

  const before = old === undefined ? undefined : withDefaults(schema, old);
  const causes = [...visit(schema, parsed.data, before)].flatMap((place) => [...repeatedKeys(place), ...broken(place)]);
  if (causes.length > 0) return { ok: false, causes };

  return { ok: true, value: parsed.data as ValidResource };
}

/** An old object that today's schema refuses is compared as it is. */
function withDefaults(schema: z.ZodType, old: unknown): unknown {
  const { status: _, ...declared } = isRecord(old) ? old : {};
  const parsed = schema.safeParse(dropNulls(schema, declared));
  return parsed.success ? parsed.data : declared;
}

function broken({ node, path, value, old }: Visited): Cause[] {
  if (value === null) return [];
  return rulesOf(node.schema)
    .filter((rule) => {
      if (rule.kind === "Value") return !rule.holds(value);
      return old !== undefined && !rule.holds(value, old);
    })
    .map((rule) => {
      const field = [path, rule.field].filter(Boolean).join(".");
      const found = show(rule.field === undefined ? value : at(value, rule.field));
      const before =
        rule.kind === "Transition" ? `, before ${show(rule.field === undefined ? old : at(old, rule.field))}` : "";
      return cause(field, `${found}${before}`, rule.message);
    });
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
