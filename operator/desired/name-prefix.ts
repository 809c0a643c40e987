import { StalledError } from "../errors.ts";

/** `{namespace}.` for namespace `team-a`: `team-a.`. An empty template leaves every name free. */
export function renderNamePrefix(template: string, namespace: string): string {
  return template.replaceAll("{namespace}", namespace);
}

/** What a name is checked against, and what to say where it fails. */
export interface NameRule {
  /** The field as the user knows it: `spec.topicName`. */
  readonly field: string;
  /** Rendered. */
  readonly prefix: string;
  /** Name of the back-end that has the prefix. */
  readonly backend: string;
  /** What a grant of the back-end could allow beyond the prefix. */
  readonly verb?: string;
}

export const hasPrefix = (name: string, prefix: string) => name.startsWith(prefix) && name.length > prefix.length;

/** @throws StalledError NameNotAllowed: the prefix is what keeps one namespace out of another's objects. */
export function requirePrefix(name: string, { field, prefix, backend, verb }: NameRule): void {
  if (hasPrefix(name, prefix)) return;
  throw notAllowed(
    field,
    name,
    `names of this namespace on back-end ${JSON.stringify(backend)} start with ${JSON.stringify(prefix)}`,
    `choose a name that starts with ${JSON.stringify(prefix)}, or leave the field out${verb === undefined ? "" : `; or ask the platform team for a grant to ${verb} it`}`,
  );
}

/** The refusal of one name, in the words every refused name has: field, value, rule, fix. */
export function notAllowed(field: string, value: string, rule: string, fix: string): StalledError {
  return new StalledError("NameNotAllowed", `${field}: ${JSON.stringify(value)} is not allowed: ${rule}; ${fix}`);
}
