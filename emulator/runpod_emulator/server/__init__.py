"""The server: ports, the application behind them, certificates, the log, garbage; how all of it starts and ends."""
