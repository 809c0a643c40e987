import type { KubeObject } from "../runtime/object-store.ts";

/**
 * What nobody owns any more: objects that name owners of which none is left (by uid, in their own namespace), and whose
 * deletion has not begun yet.
 */
export function garbage<T extends KubeObject>(objects: readonly T[]): T[] {
  const present = new Set(objects.map(({ metadata }) => `${metadata.namespace}/${metadata.uid}`));
  return objects.filter(({ metadata: { namespace, ownerReferences = [], deletionTimestamp } }) => {
    if (ownerReferences.length === 0 || deletionTimestamp !== undefined) return false;
    return !ownerReferences.some(({ uid }) => present.has(`${namespace}/${uid}`));
  });
}
