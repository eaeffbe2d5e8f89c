// The health check of every image: exit code 0 when the address answers 2xx, else 1 and the reason on standard output,
// where `docker inspect` shows it. Usage: node is-ready.mjs URL
const { OPENCODE_SERVER_USERNAME: user = 'opencode', OPENCODE_SERVER_PASSWORD: password } = process.env
const headers = password === undefined ? {} : { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` }
try {
  const response = await fetch(process.argv[2], { headers, signal: AbortSignal.timeout(4_000) })
  console.log(`${response.status} ${(await response.text()).slice(0, 1_000)}`)
  process.exitCode = response.ok ? 0 : 1
} catch (error) {
  console.log(`${error.message} ${error.cause?.message ?? ''}`)
  process.exitCode = 1
}
