import { readFileSync } from "node:fs";
import { parse, parseAllDocuments, stringify } from "yaml";
import { definitions } from "../crds/definition.ts";
import { GROUP, VERSION } from "../crds/v1alpha1/shared.ts";
import { chartReadme } from "./chart-readme.ts";

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
const notice = (source: string) => `{{- /* Generated from ${source} by \`make generate\`: change that. */ -}}`;
const templates = "charts/audit-pipeline/templates";
const yaml = (value: unknown) => stringify(value, { version: "1.1", lineWidth: 0, aliasDuplicateObjects: false });

interface Manifest {
  readonly kind: string;
  readonly metadata: { name: string; namespace?: string; labels?: Record<string, string> };
  readonly [field: string]: unknown;
}

interface Rule {
  readonly resources: readonly string[];
}

/**
 * Path in the repository → text, for what chart and kustomize bases have in common: one source, so that they cannot
 * differ. CustomResourceDefinitions are templates and not in the folder crds/, from which helm never upgrades.
 */
export const generatedChart = (): Record<string, string> => ({
  ...Object.fromEntries(definitions().map(crdTemplate)),
  [`${templates}/_rules.tpl`]: rules(),
  [`${templates}/user-roles.yaml`]: template("config/rbac/user-roles.yaml", ".Values.rbac.userRoles"),
  [`${templates}/deletion-guard.yaml`]: deletionGuard(),
  [`${templates}/prometheusrule.yaml`]: template(
    "config/prometheus/rules.yaml",
    ".Values.metrics.prometheusRule.enabled",
    ".Values.metrics.prometheusRule.labels",
  ),
  "charts/audit-pipeline/README.md": chartReadme(
    read("charts/audit-pipeline/values.yaml"),
    read("charts/audit-pipeline/values.schema.json"),
  ),
});

const KEEP = `  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
`;

function crdTemplate({ metadata, ...crd }: ReturnType<typeof definitions>[number]): [string, string] {
  const text = document({ ...crd, metadata }).replace(/^spec:$/m, `${KEEP}spec:`);
  return [
    `${templates}/crds/${GROUP}_${crd.spec.names.plural}.yaml`,
    `${notice(`crds/${VERSION}/*.ts`)}\n{{- if .Values.crds.install }}\n${text}{{- end }}\n`,
  ];
}

/** The operator's rights: in the namespaces it watches, of the cluster itself, and in its own namespace. */
function rules(): string {
  const { rules: all } = parse(read("config/rbac/cluster-role.yaml")) as { rules: readonly Rule[] };
  const { rules: own } = parse(read("config/rbac/role.yaml")) as { rules: readonly Rule[] };
  const isOfCluster = ({ resources }: Rule) => resources.includes("namespaces");
  const define = (name: string, found: readonly Rule[]) =>
    `{{- define "audit-pipeline.${name}" -}}\n${yaml(found).trimEnd()}\n{{- end -}}\n`;
  return [
    `${notice("config/rbac")}\n`,
    define(
      "namespacedRules",
      all.filter((rule) => !isOfCluster(rule)),
    ),
    define("clusterRules", all.filter(isOfCluster)),
    define("ownNamespaceRules", own),
  ].join("");
}

/** Helm would delete the definitions itself where they are not kept, so the guard of those goes with `keep`. */
function deletionGuard(): string {
  const path = "config/admission/confirm-delete.yaml";
  const documents = manifests(path).map((manifest) => {
    const { name } = manifest.metadata;
    const text = document(manifest).replace(
      "validationActions:\n    - Deny\n",
      "validationActions:\n    {{- toYaml .Values.deletionGuard.actions | nindent 4 }}\n",
    );
    return name.endsWith("-crds") ? `{{- if .Values.crds.keep }}\n---\n${text}{{- end }}\n` : `---\n${text}`;
  });
  return `${notice(path)}\n{{- if .Values.deletionGuard.enabled }}\n${documents.join("")}{{- end }}\n`;
}

/** All objects of a file, behind one condition. */
function template(path: string, condition: string, labels?: string): string {
  const documents = manifests(path).map((manifest) => `---\n${document(manifest, labels)}`);
  return `${notice(path)}\n{{- if ${condition} }}\n${documents.join("")}{{- end }}\n`;
}

const manifests = (path: string) => parseAllDocuments(read(path)).map((found) => found.toJS() as Manifest);

/** With the release's names, namespace and labels; what is a template to others stays as it is. */
function document({ apiVersion, kind, metadata, ...content }: Manifest, moreLabels?: string): string {
  const { name, namespace, labels = {} } = metadata;
  const marked = {
    ...{ apiVersion, kind },
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace: "@NAMESPACE@" }),
      labels: { "@LABELS@": "", ...(moreLabels === undefined ? {} : { "@MORE@": "" }), ...labels },
    },
    ...content,
  };
  return yaml(marked)
    .replaceAll("{{", '{{ "{{" }}')
    .replace(
      /^( *)(name|policyName): audit-pipeline(-[a-z-]+)?$/gm,
      '$1$2: {{ include "audit-pipeline.fullname" . }}$3',
    )
    .replace('"@NAMESPACE@"', "{{ .Release.Namespace }}")
    .replace('    "@LABELS@": ""', '    {{- include "audit-pipeline.labels" . | nindent 4 }}')
    .replace('    "@MORE@": ""', `    {{- with ${moreLabels} }}\n    {{- toYaml . | nindent 4 }}\n    {{- end }}`);
}
