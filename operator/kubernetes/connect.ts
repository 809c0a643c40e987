import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { KubeConfig } from "@kubernetes/client-node";
import { type ApiClient, apiClient } from "./api-client.ts";

/** Which cluster, as kubectl's flags say it. */
export interface KubeFlags {
  kubeconfig?: string;
  context?: string;
}

/** No cluster is configured, or not as said. */
export class KubeConfigError extends Error {
  override readonly name = "KubeConfigError";
}

export interface Connection {
  readonly api: ApiClient;
  /** Its address, for messages. */
  readonly server: string;
  /** Of the context, where it names one. */
  readonly namespace: string | undefined;
}

/**
 * The API server that kubectl would talk to with the same flags: --kubeconfig, KUBECONFIG, ~/.kube/config, else the
 * service account of the pod this runs in.
 *
 * @throws KubeConfigError
 */
export function connectKubernetes({ kubeconfig, context }: KubeFlags): Connection {
  const config = new KubeConfig();
  const inFile = kubeconfig !== undefined || process.env["KUBECONFIG"] !== undefined || hasDefaultFile();
  try {
    if (kubeconfig !== undefined) config.loadFromFile(kubeconfig);
    else if (inFile) config.loadFromDefault();
    else if (process.env["KUBERNETES_SERVICE_HOST"] !== undefined) config.loadFromCluster();
    else {
      throw new KubeConfigError(
        "No cluster: there is no ~/.kube/config. Say --kubeconfig FILE, set KUBECONFIG, or run in a pod; for a standalone, --state DIR or AUDIT_PIPELINE_STATE",
      );
    }
    if (context !== undefined) config.setCurrentContext(context);
  } catch (error) {
    if (error instanceof KubeConfigError) throw error;
    throw new KubeConfigError(
      `kubeconfig ${kubeconfig ?? process.env["KUBECONFIG"] ?? "~/.kube/config"}: ${textOf(error)}`,
    );
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    const known = config.getContexts().map(({ name }) => name);
    throw new KubeConfigError(
      `context ${JSON.stringify(config.getCurrentContext())} is not in the kubeconfig; it has ${known.join(", ") || "none"}`,
    );
  }
  const namespace = config.getContextObject(config.getCurrentContext())?.namespace;
  return { api: apiClient(config), server: cluster.server, namespace };
}

const hasDefaultFile = () => existsSync(join(homedir(), ".kube", "config"));
const textOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
