output "house" {
  value = module.house
}
