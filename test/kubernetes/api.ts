import { randomUUID } from "node:crypto";
import { KubeConfig } from "@kubernetes/client-node";
import { type ApiClient, apiClient } from "../../operator/kubernetes/api-client.ts";

export function connectApi(kubeconfig: string): ApiClient {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  return apiClient(config);
}

/** A namespace that no other test uses. */
export async function newNamespace(api: ApiClient, prefix = "test"): Promise<string> {
  const name = `${prefix}-${randomUUID().slice(0, 8)}`;
  const body = { apiVersion: "v1", kind: "Namespace", metadata: { name } };
  await api.request({ method: "POST", path: "/api/v1/namespaces", body });
  return name;
}
