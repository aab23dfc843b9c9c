"""Records -> statistics, tables and plots. Import the module you need: scipy and matplotlib load when first used."""
