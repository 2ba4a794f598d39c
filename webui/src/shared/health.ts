/** What GET /healthz tells about the server. */

export interface Health {
  version: string | null;
  /** Where phones reach it; null when the server does not say. */
  sip: { host: string; port: number } | null;
}

export type Reachability = { state: "asking" } | { state: "up"; health: Health } | { state: "down" };

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** Take what is usable from an answer; a field of another shape counts as not told. */
export function parseHealth(answer: unknown): Health {
  const told = isRecord(answer) ? answer : {};
  const sip = isRecord(told.sip) ? told.sip : {};
  const { host, port } = sip;
  return {
    version: typeof told.version === "string" ? told.version : null,
    sip: typeof host === "string" && typeof port === "number" ? { host, port } : null,
  };
}

/** Ask once. Never throws: a server that does not answer within five seconds is down. */
export async function askHealth(): Promise<Reachability> {
  try {
    const response = await fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!response.ok) return { state: "down" };
    return { state: "up", health: parseHealth(await response.json().catch(() => null)) };
  } catch {
    return { state: "down" };
  }
}

/** The server as a softphone's field takes it: the port is left out when it is SIP's own. */
export function sipServer(health: Health | null, pageHost: string): string {
  const told = health?.sip;
  const everywhere = told && ["0.0.0.0", "::", ""].includes(told.host);
  const host = told && !everywhere ? told.host : pageHost;
  const bracketed = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  return !told || told.port === 5060 ? bracketed : `${bracketed}:${told.port.toString()}`;
}
