import type { KubeObject } from "../runtime/object-store.ts";

/** A pod as a cluster or a standalone lists it; a new one has no container statuses, or no status, yet. */
export interface ListedPod extends KubeObject {
  readonly spec: { readonly containers?: readonly unknown[]; readonly nodeName?: string };
  readonly status?: {
    readonly phase?: string;
    /** Evicted, NodeLost, ... */
    readonly reason?: string;
    readonly podIP?: string;
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

interface ContainerStatus {
  readonly ready?: boolean;
  readonly restartCount?: number;
  readonly containerID?: string;
  readonly state?: {
    readonly running?: object;
    readonly waiting?: { readonly reason?: string };
    readonly terminated?: { readonly reason?: string; readonly exitCode?: number };
  };
}

const containers = ({ status }: ListedPod): readonly ContainerStatus[] => status?.containerStatuses ?? [];

/** `1/2`. Pure. */
export function readyContainers(pod: ListedPod): string {
  const ready = containers(pod).filter((container) => container.ready === true).length;
  return `${ready}/${pod.spec.containers?.length ?? containers(pod).length}`;
}

/** The word kubectl shows: what stands in the way where something does, else the phase. Pure. */
export function podState(pod: ListedPod): string {
  const { metadata, status } = pod;
  if (metadata.deletionTimestamp !== undefined) return "Terminating";
  const stopped = containers(pod).find(({ state }) => state !== undefined && state.running === undefined)?.state;
  const ended = stopped?.terminated;
  const reason = stopped?.waiting?.reason ?? ended?.reason ?? (ended && `ExitCode:${ended.exitCode ?? "?"}`);
  return reason ?? status?.reason ?? status?.phase ?? "Pending";
}

/** Of all containers together. Pure. */
export const restarts = (pod: ListedPod): number =>
  containers(pod).reduce((sum, { restartCount = 0 }) => sum + restartCount, 0);

export const processOf = (pod: ListedPod): string => containers(pod)[0]?.containerID ?? "";
