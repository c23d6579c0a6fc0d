"""What is served agrees with the trained model, here and on servers of somebody else."""
