import process from 'node:process'
import { text } from 'node:stream/consumers'
import { SILENT } from '@longshore/contracts'
import { connectRedis } from '@longshore/runtime'
import { z } from 'zod'
import { createEgress } from '../create-egress.ts'
import { ProxyConfig } from '../proxy-config.ts'

// A worker for a test that kills it: opens the proxy of the configuration on its standard input, says where it is, and waits.

const { redisUrl, deployment, address, since, rules } = ProxyConfig.parse(JSON.parse(await text(process.stdin)))
const egress = createEgress({ redis: connectRedis(redisUrl, 'background', SILENT), redisUrl, deployment, since, rules, policy: { normal: 'provider', most: 'full' }, log: SILENT })
process.stdout.write(z.string().parse(await egress.open(address)))
