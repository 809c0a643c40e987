/** Under which name the operator applies what it owns (server-side apply). */
export const FIELD_MANAGER = "audit-pipeline-operator";
