import type { KubeObject } from "../runtime/object-store.ts";
import type { Client } from "./client.ts";
import { lastSeen } from "./event-times.ts";
import { Failure } from "./failure.ts";
import { type Format, type Listing, renderListings } from "./output.ts";
import { kindsOf, qualifiedKind } from "./resource-names.ts";

export interface Scope {
  namespace: string;
  allNamespaces: boolean;
}

/** `get KIND[,KIND...] [NAME]`, `get KIND/NAME`. */
export async function get(client: Client, target: Target, scope: Scope, format: Format): Promise<string> {
  const { kinds, name } = target;
  const namespace = scope.allNamespaces ? undefined : scope.namespace;
  const listings = await Promise.all(kinds.map((kind) => listing(client, kind, name, namespace)));
  const none = listings.every(({ items }) => items.length === 0);
  if (none && name !== undefined) throw notFound(kinds, name);
  if (none && (format === "table" || format === "wide")) {
    process.stderr.write(`No resources found${namespace === undefined ? "" : ` in ${namespace} namespace`}.\n`);
  }
  const options = { format, allNamespaces: scope.allNamespaces, single: name !== undefined, now: Date.now() };
  return renderListings(listings, options);
}

export interface Target {
  kinds: string[];
  name: string | undefined;
}

/** `pods`, `deployments,pods`, `pod web-1`, `pod/web-1`. Throws UnknownKindError. */
export function targetOf(word: string, name?: string): Target {
  const [kind = "", inWord] = word.split("/");
  return { kinds: kindsOf(kind), name: name ?? inWord };
}

/** For commands that act on one object. `audit` is two kinds: the first counts. Throws Failure with exit code 2. */
export function oneKind(word: string, name?: string): Target {
  if (word.includes(",")) throw new Failure(`${word}: this command takes one kind`, 2);
  return targetOf(word, name);
}

/** One object that must be named. */
export async function getOne(client: Client, { kinds, name }: Target, { namespace }: Scope): Promise<KubeObject> {
  if (name === undefined) throw new Failure("Which one? Give a name", 2);
  for (const kind of kinds) {
    const found = await client.get({ kind, namespace, name });
    if (found !== undefined) return found;
  }
  throw notFound(kinds, name);
}

export const notFound = (kinds: readonly string[], name: string) =>
  new Failure(`${kinds.map(qualifiedKind).join(" or ")} ${JSON.stringify(name)} not found`);

async function listing(
  client: Client,
  kind: string,
  name: string | undefined,
  namespace: string | undefined,
): Promise<Listing> {
  if (name !== undefined) {
    // A right to get one is not a right to list all.
    if (namespace === undefined) throw new Failure("-A shows all: a name needs its namespace (-n)", 2);
    const found = await client.get({ kind, namespace, name });
    return { kind, items: found === undefined ? [] : [found] };
  }
  const { items } = await client.list(kind, namespace === undefined ? {} : { namespace });
  return { kind, items: kind === "Event" ? items.toSorted(byLastSeen) : items };
}

const byLastSeen = (a: KubeObject, b: KubeObject) => Date.parse(lastSeen(a)) - Date.parse(lastSeen(b));
