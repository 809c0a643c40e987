import type { KubeObject } from "../runtime/object-store.ts";

/**
 * An event of events.k8s.io/v1 as a cluster may hold it. Ours have a series from their second occurrence on; those of the
 * kubelet and other older recorders have the deprecated fields and no eventTime. In a standalone each has a series.
 */
export interface ShownEvent extends KubeObject {
  readonly regarding?: { readonly kind?: string; readonly name?: string; readonly uid?: string };
  readonly type?: string;
  readonly reason?: string;
  readonly note?: string;
  readonly eventTime?: string | null;
  readonly series?: { readonly count: number; readonly lastObservedTime: string };
  readonly deprecatedCount?: number;
  readonly deprecatedLastTimestamp?: string | null;
}

/** RFC 3339. Pure. */
export function lastSeen(event: KubeObject): string {
  const { series, eventTime, deprecatedLastTimestamp, metadata } = event as ShownEvent;
  return series?.lastObservedTime ?? deprecatedLastTimestamp ?? eventTime ?? metadata.creationTimestamp;
}

/** How often it happened, at least once. Pure. */
export const countOf = ({ series, deprecatedCount }: ShownEvent): number => series?.count ?? deprecatedCount ?? 1;
