export { createGateway, type Gateway, type GatewayOptions, type GatewaySettings } from './gateway.ts'
