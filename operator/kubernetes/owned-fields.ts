/** metav1.FieldsV1: the paths a field manager owns, as nested objects. */
export type FieldsV1 = { readonly [path: string]: FieldsV1 };

export interface ManagedFields {
  readonly manager?: string;
  readonly operation?: string;
  readonly subresource?: string;
  readonly fieldsV1?: FieldsV1;
}

/**
 * The part of a live object that a field manager owns: what it last applied, with the values as they are now. Equal to a
 * configuration exactly when applying that would change nothing: nothing added, changed, dropped, or altered by others.
 *
 * `f:` is a member, `k:` an item of a list by its key, `v:` an item of a set, `.` the thing itself; a path with nothing
 * below it is owned whole (kubernetes.io, server-side apply, and sigs.k8s.io/structured-merge-diff fieldpath).
 */
export function ownedPart(live: unknown, fields: FieldsV1): unknown {
  const paths = Object.keys(fields).filter((path) => path !== ".");
  if (paths.length === 0) return live;
  if (Array.isArray(live)) return ownedItems(live, fields, paths);
  if (typeof live !== "object" || live === null) return live;
  const present = live as Readonly<Record<string, unknown>>;
  const members = paths
    .filter((path) => path.startsWith("f:") && path.slice(2) in present)
    .map((path) => [path.slice(2), ownedPart(present[path.slice(2)], fields[path] ?? {})]);
  return Object.fromEntries(members);
}

function ownedItems(live: readonly unknown[], fields: FieldsV1, paths: readonly string[]): unknown[] {
  return live.flatMap((item) => {
    const path = paths.find((candidate) => isItem(item, candidate));
    return path === undefined ? [] : [ownedPart(item, fields[path] ?? {})];
  });
}

function isItem(item: unknown, path: string): boolean {
  const named: unknown = JSON.parse(path.slice(2));
  if (path.startsWith("v:")) return item === named;
  if (!path.startsWith("k:") || typeof item !== "object" || item === null) return false;
  const members = item as Readonly<Record<string, unknown>>;
  return Object.entries(named as Record<string, unknown>).every(([name, value]) => members[name] === value);
}
