type Fields = Record<string, unknown>;

/** By which members the items of a list are told apart; every other list is replaced as a whole. */
const mergeKeys: Record<string, readonly string[]> = {
  containers: ["name"],
  initContainers: ["name"],
  env: ["name"],
  ports: ["containerPort", "protocol"],
  volumes: ["name"],
  volumeMounts: ["mountPath"],
  conditions: ["type"],
  imagePullSecrets: ["name"],
  ownerReferences: ["uid"],
  sinks: ["name"],
};

/** Part of a key, but usually left out. */
const keyDefaults: Fields = { protocol: "TCP" };

/**
 * Server-side apply by the only field manager: what `next` states is set, what `previous` stated and `next` no longer
 * does is removed, and what neither names is left as it is in `live`. Pure; shares structure with its arguments.
 */
export function mergeApplied(live: Fields, previous: Fields, next: Fields): Fields {
  return mergeFields(live, previous, next);
}

function mergeFields(live: Fields, previous: Fields, next: Fields): Fields {
  const kept = Object.entries(live).filter(([name]) => !(name in previous) || name in next);
  const merged: Fields = Object.fromEntries(kept);
  for (const [name, value] of Object.entries(next)) merged[name] = mergeValue(name, live[name], previous[name], value);
  // Labels and annotations are shared with others: dropping the map drops only our entries.
  for (const name of ["labels", "annotations"]) {
    if (name in previous && !(name in next)) merged[name] = mergeFields(fields(live[name]), fields(previous[name]), {});
  }
  return merged;
}

function mergeValue(name: string, live: unknown, previous: unknown, next: unknown): unknown {
  if (isFields(next)) return mergeFields(fields(live), fields(previous), next);
  const key = mergeKeys[name];
  if (key === undefined || !isKeyed(next, key)) return next;
  return mergeList(isKeyed(live, key) ? live : [], isKeyed(previous, key) ? previous : [], next, key);
}

/** In the order of `next`, then what others added. */
function mergeList(live: Fields[], previous: Fields[], next: Fields[], key: readonly string[]): Fields[] {
  const [liveBy, previousBy, nextBy] = [live, previous, next].map((items) => byKey(items, key)) as [
    Items,
    Items,
    Items,
  ];
  const stated = [...nextBy].map(([id, item]) => mergeFields(liveBy.get(id) ?? {}, previousBy.get(id) ?? {}, item));
  const others = [...liveBy].filter(([id]) => !nextBy.has(id) && !previousBy.has(id)).map(([, item]) => item);
  return [...stated, ...others];
}

type Items = Map<string, Fields>;

const byKey = (items: Fields[], key: readonly string[]): Items =>
  new Map(items.map((item) => [keyOf(item, key), item]));

const keyOf = (item: Fields, key: readonly string[]): string =>
  JSON.stringify(key.map((name) => item[name] ?? keyDefaults[name]));

function isKeyed(value: unknown, key: readonly string[]): value is Fields[] {
  return (
    Array.isArray(value) && value.every((item) => isFields(item) && key.every((k) => k in item || k in keyDefaults))
  );
}

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const fields = (value: unknown): Fields => (isFields(value) ? value : {});
