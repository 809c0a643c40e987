import { z } from "zod";

/**
 * A rule that a schema cannot say, stated once: `cel` is what the API server evaluates, `holds` is the same predicate
 * for this process, and `message` names the fix. Both see the value with its defaults filled in.
 *
 * A Transition rule compares with the object before an update. Neither answer is asked for on a create.
 */
export type Rule<Self = unknown> = {
  cel: string;
  message: string;
  /** The field at fault, relative to where the rule stands, when that is not the place itself. */
  field?: string;
} & ({ kind: "Value"; holds(self: Self): boolean } | { kind: "Transition"; holds(self: Self, oldSelf: Self): boolean });

// Registered without the schema's own type: what a rule sees as `self` is what the schema puts out.
const registry: z.core.$ZodRegistry<{ rules: unknown }> = z.registry<{ rules: unknown }>();

/** The rules must be put on the bare schema, before `.optional()`, `.default()` or `.prefault()` wrap it. */
export function withRules<Schema extends z.ZodType>(schema: Schema, ...rules: Rule<z.output<Schema>>[]): Schema {
  registry.add(schema, { rules: [...rulesOf(schema), ...rules] });
  return schema;
}

export const rulesOf = (schema: z.core.$ZodType): readonly Rule[] =>
  (registry.get(schema)?.rules as readonly Rule[] | undefined) ?? [];

/** Once set, a value stays what it is; an absent one stays absent only where the parent says so. */
export const immutable = (what: string, fix: string): Rule<string> => ({
  kind: "Transition",
  cel: "self == oldSelf",
  message: `${what} cannot be changed: ${fix}`,
  holds: (self, oldSelf) => self === oldSelf,
});

/** For an optional field, on the object that holds it: neither changed, nor added, nor removed. */
export function fixedOnceCreated<Self>(field: keyof Self & string, fix: string): Rule<Self> {
  return {
    kind: "Transition",
    cel: `has(self.${field}) == has(oldSelf.${field}) && (!has(self.${field}) || self.${field} == oldSelf.${field})`,
    message: `${field} cannot be changed, added or removed: ${fix}`,
    field,
    holds: (self, oldSelf) => self[field] === oldSelf[field],
  };
}

export const onlyGrows = (what: string, fix: string): Rule<number> => ({
  kind: "Transition",
  cel: "self >= oldSelf",
  message: `${what} can only grow: ${fix}`,
  holds: (self, oldSelf) => self >= oldSelf,
});
