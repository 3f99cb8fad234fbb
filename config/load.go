package config

const envPrefix = "TANDEM_"
