export { createGateway, type Gateway, type GatewayOptions, type GatewaySettings } from './gateway.ts'
export { createTicketDispatch, type TicketDispatch } from './ticket-dispatch.ts'
