import { ApiError } from "../kubernetes/api-errors.ts";
import { Failure } from "./failure.ts";

/** Throws the failure with what to do about it, where that is known. */
export function explained(error: unknown, server: string): never {
  const text = adviceFor(error, server);
  throw text === undefined ? error : new Failure(text);
}

/** What happened and what helps, for an error of a request to the API server; nothing for what says enough itself. Pure. */
export function adviceFor(error: unknown, server: string): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if (error instanceof ApiError) return ofAnswer(error, server);
  const { code } = error as NodeJS.ErrnoException;
  const cause = code ?? (error.cause as NodeJS.ErrnoException | undefined)?.code;
  if (cause === undefined) return undefined;
  if (/^(ERR_TLS|CERT_|UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|ERR_SSL)/.test(cause)) {
    return `The certificate of the API server ${server} is not trusted (${cause}): the kubeconfig's certificate-authority must be of this cluster`;
  }
  return `The API server ${server} cannot be reached (${cause}). Is it the right cluster (kubectl config current-context; --context, --kubeconfig), and is it up (kubectl get --raw /readyz)?`;
}

function ofAnswer({ code, message }: ApiError, server: string): string | undefined {
  if (code === 401) {
    return `The API server ${server} does not know who asks (401): the credential of the kubeconfig has expired or is of another cluster; log in again`;
  }
  if (code === 403) return ofForbidden(message);
  if (code === 404) {
    return `The API server ${server} has no such resource: the CustomResourceDefinitions are not installed, or are of another version.\nInstall them: audit-pipeline crds | kubectl apply --server-side -f -   (audit-pipeline check tells the rest)`;
  }
  return undefined;
}

/** The server's sentence names user, verb and resource; the role that allows it is ours to name. */
function ofForbidden(message: string): string {
  const [, user, verb = "", resource = "", group = ""] =
    /User "([^"]+)" cannot (\S+) resource "([^"]+)" in API group "([^"]*)"/.exec(message) ?? [];
  if (user === undefined) return `Forbidden: ${message}`;
  const [, namespace] = /in the namespace "([^"]+)"/.exec(message) ?? [];
  return `${message}\nSomebody who may can allow it:\n  ${bindingFor({ user, verb, resource, group, namespace })}`;
}

interface Denied {
  readonly user: string;
  readonly verb: string;
  readonly resource: string;
  readonly group: string;
  readonly namespace: string | undefined;
}

/** `view` and `edit` are of every cluster; what this project adds to them holds its own kinds. */
function bindingFor({ user, verb, resource, group, namespace }: Denied): string {
  const reads = ["get", "list", "watch"].includes(verb) && resource !== "secrets";
  const ours = group === "auditpipeline.io";
  const role = reads ? (ours ? "audit-pipeline-viewer" : "view") : ours ? "audit-pipeline-editor" : "edit";
  const [, ofNamespace, account] = /^system:serviceaccount:([^:]+):(.+)$/.exec(user) ?? [];
  const subject = account === undefined ? `--user=${quoted(user)}` : `--serviceaccount=${ofNamespace}:${account}`;
  const name = `${role}-${(account ?? user).toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}`
    .slice(0, 63)
    .replace(/-$/, "");
  return namespace === undefined
    ? `kubectl create clusterrolebinding ${name} --clusterrole=${role} ${subject}`
    : `kubectl create rolebinding ${name} -n ${namespace} --clusterrole=${role} ${subject}`;
}

/** For a shell. */
const quoted = (text: string) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
