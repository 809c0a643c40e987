import { isDeepStrictEqual } from "node:util";
import type { Snapshot } from "./snapshot.ts";

/** In what two states differ, each by the smallest part that does. */
export function differences(wanted: Snapshot["state"], found: Snapshot["state"]): string[] {
  const names = [...new Set([...Object.keys(wanted), ...Object.keys(found)])].toSorted();
  return names.flatMap((name) => {
    if (!(name in found)) return [`${name} is missing`];
    if (!(name in wanted)) return [`${name} is left over`];
    return differing(wanted[name], found[name], name);
  });
}

/** The smallest parts that differ. */
function differing(wanted: unknown, found: unknown, path: string): string[] {
  if (isDeepStrictEqual(wanted, found)) return [];
  if (!isContainer(wanted) || !isContainer(found)) {
    return [`${path}: ${JSON.stringify(wanted)} became ${JSON.stringify(found)}`];
  }
  const keys = [...new Set([...Object.keys(wanted), ...Object.keys(found)])];
  return keys.flatMap((key) => differing(wanted[key], found[key], `${path}.${key}`));
}

const isContainer = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;
